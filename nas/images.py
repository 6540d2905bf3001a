"""Labelled images as the training loops see them: uint8 batches by index, whether held in memory or decoded on demand.

Both kinds answer the same three questions (``len``, ``labels``, ``batch``); a loop never asks where pixels come from.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from nas.errors import NaswildError

log = logging.getLogger(__name__)

Corrupt = Literal["error", "skip"]

# Cross-entropy leaves out a sample with this label; a corrupt image that is skipped while training carries it.
IGNORED = -100


class Images(Protocol):
    """What a loop needs of a labelled set of images."""

    @property
    def labels(self) -> Tensor:
        """Class index of every image, int64 of shape (N,)."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> Tensor:
        """The images at ``indices`` as uint8 of shape (len(indices), 3, size, size)."""

    def read(self, index: int) -> Image.Image | None:
        """One image at its own resolution, RGB; None when it cannot be decoded."""

    def subset(self, indices: Tensor) -> Images:
        """The same kind of set, restricted to ``indices`` in that order."""


class CorruptImages(NaswildError):
    """Image files that cannot be decoded: all of them, in one error."""

    def __init__(self, paths: Sequence[str], total: int) -> None:
        self.paths = tuple(paths)
        shown = "\n".join(f"  {path}" for path in self.paths[:20])
        more = f"\n  ... and {len(self.paths) - 20} more" if len(self.paths) > 20 else ""
        super().__init__(
            f"{len(self.paths)} of {total} images cannot be decoded; repair or remove them, "
            f"or leave them out with corrupt='skip':\n{shown}{more}"
        )


@dataclass(frozen=True, eq=False, repr=False)
class MemoryImages:
    """A small set held whole: ``pixels`` uint8 (N, 3, size, size), ``labels`` int64 (N,); ``corrupt``: left out."""

    pixels: Tensor
    labels: Tensor
    corrupt: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor) -> Tensor:
        return self.pixels[indices]

    def read(self, index: int) -> Image.Image | None:
        return Image.fromarray(self.pixels[index].permute(1, 2, 0).numpy())

    def subset(self, indices: Tensor) -> MemoryImages:
        return MemoryImages(self.pixels[indices], self.labels[indices], self.corrupt)


@dataclass(frozen=True, eq=False, repr=False)
class FileImages:
    """A large set decoded on demand: a byte range of a file per image (a whole file, or a member of a tar shard).

    ``ranges`` holds (offset, length) per image; length -1 means to the end. ``scale`` is the ratio of the centre crop
    to the resized shorter side that :meth:`batch` uses (0.875: resize to 256, crop 224).
    """

    files: tuple[str, ...]
    ranges: np.ndarray
    labels: Tensor
    image_size: int
    scale: float = 0.875
    corrupt: Corrupt = "error"
    members: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        """How messages call image ``index``: its path, with the member's name for a tar shard."""
        member = self.members[index] if self.members else ""
        return f"{self.files[index]}:{member}" if member else self.files[index]

    def read(self, index: int) -> Image.Image | None:
        offset, length = self.ranges[index].tolist()
        return decode(read_range(self.files[index], offset, length))

    def batch(self, indices: Tensor) -> Tensor:
        images = [self.read(index) for index in indices.tolist()]
        damaged = [index for index, image in zip(indices.tolist(), images, strict=True) if image is None]
        self.report(damaged)
        grey = torch.full((3, self.image_size, self.image_size), 128, dtype=torch.uint8)
        return torch.stack([grey if image is None else fit(image, self.image_size, self.scale) for image in images])

    def report(self, damaged: Sequence[int]) -> None:
        """Say which images cannot be decoded: as an error, or in the log when they are to be skipped."""
        names = [self.name(index) for index in damaged]
        if names and self.corrupt == "error":
            raise CorruptImages(names, len(self))
        for name in names:
            log.warning("left out, cannot be decoded: %s", name)

    def subset(self, indices: Tensor) -> FileImages:
        chosen = indices.tolist()
        return FileImages(
            files=tuple(self.files[i] for i in chosen),
            ranges=self.ranges[chosen],
            labels=self.labels[indices],
            image_size=self.image_size,
            scale=self.scale,
            corrupt=self.corrupt,
            members=tuple(self.members[i] for i in chosen) if self.members else (),
        )


def read_range(file: str, offset: int = 0, length: int = -1) -> bytes:
    """``length`` bytes of ``file`` from ``offset``; -1 reads to the end."""
    with Path(file).open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def decode(data: bytes) -> Image.Image | None:
    """The RGB image in ``data``, fully decoded, or None when it is damaged, cut short or no image at all."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # all that Pillow raises on damaged data
        return None


def fit(image: Image.Image, size: int, scale: float = 1.0) -> Tensor:
    """``image`` resized (antialiased, shorter side = size / scale) and centre-cropped: uint8 (3, size, size)."""
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    if pixels.shape[1:] == (size, size):
        return pixels
    resized = transform.resize(pixels, [round(size / scale)], antialias=True)
    return transform.center_crop(resized, [size, size])


def channel_statistics(pixels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 (N, C, H, W) images, on the 0 to 1 scale, to four digits."""
    counts = torch.stack([torch.bincount(channel.reshape(-1), minlength=256) for channel in pixels.transpose(0, 1)])
    share = counts.double() / counts.sum(dim=1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ levels
    variance = share @ levels.square() - mean.square()
    return _rounded(mean), _rounded(variance.clamp_min(0).sqrt())


def _rounded(values: Iterable[Tensor]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
