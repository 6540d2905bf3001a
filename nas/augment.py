"""CIFAR's augmentation on whole uint8 batches: pad and crop, flip, normalise, cutout.

The draws of an epoch are one table with a row per image of the set, so what happens to an image depends on (seed,
epoch, index) alone: not on the batch it is in, the process that computes it, or where a resumed run began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.seeding import generator
from nas.train_recipe import Augmentation


@dataclass(frozen=True)
class Draws:
    """What happens to each image of an epoch, int64 columns of shape (N,): crop corner, flip, centre of the cutout."""

    top: Tensor
    left: Tensor
    flip: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of_epoch(cls, recipe: Augmentation, count: int, size: int, *, seed: int, epoch: int) -> Draws:
        """The draws for ``count`` images of ``size`` x ``size`` pixels."""
        source = generator(seed, "augment", epoch)
        shift = 2 * recipe.padding + 1 if recipe.crop == "pad" else 1
        limits = (shift, shift, 2 if recipe.flip else 1, size, size)
        return cls(*(torch.randint(limit, (count,), generator=source) for limit in limits))

    def rows(self, indices: Tensor, device: torch.device) -> Draws:
        """The draws of the images at ``indices``, on ``device``."""
        columns = (self.top, self.left, self.flip, self.row, self.column)
        return Draws(*(column[indices].to(device, non_blocking=True) for column in columns))


def augment(pixels: Tensor, draws: Draws, recipe: Augmentation, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Crop, flip, normalise and cut out a batch.

    ``pixels`` is uint8 (N, C, S, S); ``mean`` and ``std`` are per channel on the 0 to 1 scale. Returns float32 of the
    same shape, in channels_last order. Padding is black before normalisation, cutout zero after it (section 5.1.2).
    """
    out = normalise(crop_and_flip(pixels, draws, recipe.padding if recipe.crop == "pad" else 0), mean, std)
    return out.mul_(cutout_mask(draws, recipe.cutout, pixels.shape[-1])) if recipe.cutout else out


def crop_and_flip(pixels: Tensor, draws: Draws, padding: int) -> Tensor:
    """The S x S window at (top, left) of each zero-padded image, mirrored where ``flip`` is 1; channels_last."""
    count, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, (padding,) * 4)
    rows = draws.top[:, None] + torch.arange(height, device=pixels.device)
    across = torch.arange(width, device=pixels.device).expand(count, -1)
    columns = draws.left[:, None] + torch.where(draws.flip[:, None] == 1, across.flip(1), across)
    image = torch.arange(count, device=pixels.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (N, C, H, W) -> float32 with ``mean`` and ``std`` (0 to 1 scale) taken out, in channels_last order."""
    scale, shift = (
        torch.tensor(values).view(1, -1, 1, 1).to(pixels.device, non_blocking=True)
        for values in ([1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)])
    )
    return torch.addcmul(shift, pixels.to(torch.float32, memory_format=torch.channels_last), scale)


def cutout_mask(draws: Draws, side: int, size: int) -> Tensor:
    """float32 (N, 1, size, size): 0 in a square of ``side`` pixels around the centre, cut off at the border; else 1."""
    place = torch.arange(size, device=draws.row.device)
    inside = [
        (place >= centre[:, None] - side // 2) & (place < centre[:, None] - side // 2 + side)
        for centre in (draws.row, draws.column)
    ]
    return (~(inside[0][:, None, :, None] & inside[1][:, None, None, :])).float()
