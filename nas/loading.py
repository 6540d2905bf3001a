"""Batches on the device, normalised and augmented: straight from memory, or decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.augment import Draws, augment, cutout_mask, normalise
from nas.images import IGNORED, FileImages, Images, MemoryImages, fit
from nas.photographs import augment_photograph
from nas.train_recipe import Augmentation

# A worker that delivers nothing for so long is dead or waits for a lost file system: an error, not a hang.
WORKER_TIMEOUT_SECONDS = 600

Batch = tuple[Tensor, Tensor]


@dataclass
class Loader:
    """Lists of indices to ``(pixels, labels)``: float32 (n, 3, size, size) in channels_last order, int64 (n,).

    A corrupt image that is to be skipped arrives grey, with the label :data:`~nas.images.IGNORED`; ``corrupt`` holds
    the names of those met so far, and of those that a set in memory was loaded without.
    """

    images: Images
    image_size: int
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device
    workers: int = 0
    corrupt: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._resident: Tensor | None = None
        if isinstance(self.images, MemoryImages):
            self._resident = self.images.pixels.to(self.device)
            self.corrupt.update(self.images.corrupt)

    def plain(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """Centre crops, for evaluation."""
        for pixels, labels, _ in self._raw(chunks, None, 0, 0):
            yield normalise(pixels, self.mean, self.std), labels

    def augmented(self, chunks: Sequence[Tensor], recipe: Augmentation, *, seed: int, epoch: int) -> Iterator[Batch]:
        """Random views, for training; an image looks the same whichever chunk it is in."""
        draws = Draws.of_epoch(recipe, len(self.images), self.image_size, seed=seed, epoch=epoch)
        for pixels, labels, indices in self._raw(chunks, recipe, seed, epoch):
            own = draws.rows(indices, self.device)
            if recipe.crop != "resized":
                yield augment(pixels, own, recipe, self.mean, self.std), labels
            else:
                out = normalise(pixels, self.mean, self.std)
                yield out * cutout_mask(own, recipe.cutout, self.image_size) if recipe.cutout else out, labels

    def _raw(
        self, chunks: Sequence[Tensor], recipe: Augmentation | None, seed: int, epoch: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """uint8 pixels and labels on the device, with their indices."""
        if self._resident is not None and (recipe is None or recipe.crop != "resized"):
            for chunk in chunks:  # small copies that the host need not wait for
                labels = self.images.labels[chunk].to(self.device, non_blocking=True)
                yield self._resident[chunk.to(self.device, non_blocking=True)], labels, chunk
            return
        views = _Views(self.images, self.image_size, recipe, seed, epoch)
        cuda = self.device.type == "cuda"
        decoded = DataLoader(
            views,
            batch_sampler=[chunk.tolist() for chunk in chunks],
            num_workers=self.workers,
            pin_memory=cuda,
            timeout=WORKER_TIMEOUT_SECONDS if self.workers else 0,
        )
        for chunk, (pixels, labels) in zip(chunks, decoded, strict=True):
            self._note_corrupt(chunk[labels == IGNORED].tolist())
            yield pixels.to(self.device, non_blocking=cuda), labels.to(self.device, non_blocking=cuda), chunk

    def _note_corrupt(self, damaged: list[int]) -> None:
        if isinstance(self.images, FileImages):
            self.images.report([index for index in damaged if self.images.name(index) not in self.corrupt])
            self.corrupt.update(self.images.name(index) for index in damaged)


class _Views(Dataset[tuple[Tensor, int]]):
    """What a worker process decodes: index -> (uint8 pixels, label)."""

    def __init__(self, images: Images, size: int, recipe: Augmentation | None, seed: int, epoch: int) -> None:
        self.images, self.size, self.recipe, self.seed, self.epoch = images, size, recipe, seed, epoch
        self.scale = images.scale if isinstance(images, FileImages) else 1.0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images.read(index)
        if image is None:
            return torch.full((3, self.size, self.size), 128, dtype=torch.uint8), IGNORED
        label = int(self.images.labels[index])
        if self.recipe is None or self.recipe.crop != "resized":
            return fit(image, self.size, self.scale), label
        view = augment_photograph(image, self.size, self.recipe, seed=self.seed, epoch=self.epoch, index=index)
        return view, label
