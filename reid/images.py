"""Images of people on the device: in memory where the set is small, else decoded by worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas.errors import NaswildError

# Decoded images up to this size stay in memory: Market-1501's training images at 128x64 fit, MSMT17's do not.
RESIDENT_BYTES = 512 * 2**20
# A worker that delivers nothing for so long is dead or waits for a lost file system: an error, not a hang.
WORKER_TIMEOUT_SECONDS = 600


def read_image(path: str | Path, height: int, width: int) -> Tensor:
    """The image at ``path`` as uint8 (3, height, width), resized bilinearly; raises OSError if it cannot be decoded.

    torchreid's reader retries a damaged file indefinitely; this one tries once.
    """
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


class People(Dataset[tuple[Tensor, bool]]):
    """The files ``paths``, each read at ``height`` x ``width``: index -> (uint8 pixels, readable)."""

    def __init__(self, paths: Sequence[str], height: int, width: int) -> None:
        self.paths, self.height, self.width = list(paths), height, width

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        try:
            return read_image(self.paths[index], self.height, self.width), True
        except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files of its various formats
            return torch.zeros(3, self.height, self.width, dtype=torch.uint8), False


class ImageLoader:
    """Delivers uint8 batches of ``paths`` on ``device``, in any order asked for.

    A set whose pixels fit in ``resident_bytes`` is read once; others are decoded batch by batch in ``workers``
    processes, as far as there are CPU cores for them. Raises :class:`NaswildError` that names every unreadable file
    met in a batch (of a resident set: in all of it).
    """

    def __init__(
        self,
        paths: Sequence[str],
        height: int,
        width: int,
        device: torch.device,
        *,
        workers: int = 0,
        resident_bytes: int = RESIDENT_BYTES,
    ) -> None:
        self.people, self.device = People(paths, height, width), device
        self.workers = min(workers, _processors())  # PyTorch warns of more
        self._resident: Tensor | None = None
        if len(paths) * 3 * height * width <= resident_bytes:
            everything = [torch.arange(len(paths))]
            self._resident = next(self._decoded(everything), torch.empty(0, 3, height, width, dtype=torch.uint8))

    def batches(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """One batch (n, 3, height, width) for each of ``chunks``, index tensors of length n."""
        if self._resident is None:
            yield from self._decoded(chunks)
            return
        for chunk in chunks:
            yield self._resident[chunk.to(self.device)]

    def _decoded(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        cuda = self.device.type == "cuda"
        loader = DataLoader(
            self.people,
            batch_sampler=[chunk.tolist() for chunk in chunks],
            num_workers=self.workers,
            pin_memory=cuda,
            timeout=WORKER_TIMEOUT_SECONDS if self.workers else 0,
        )
        for chunk, (pixels, readable) in zip(chunks, loader, strict=True):
            self._require(chunk[~readable].tolist())
            yield pixels.to(self.device, non_blocking=cuda)

    def _require(self, damaged: Sequence[int]) -> None:
        if damaged:
            names = ", ".join(self.people.paths[index] for index in damaged[:5])
            more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
            raise NaswildError(f"cannot read {names}{more}; restore the files, scores on part of a set do not compare")


def _processors() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
