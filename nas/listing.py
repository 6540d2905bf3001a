"""The image files of a data set, wherever they were found, and how they become images: in memory or on demand."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nas.images import Corrupt, CorruptImages, FileImages, Images, MemoryImages, decode, fit, read_range

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
# A split whose decoded pixels fit this many bytes is held in memory; a larger one is decoded on demand.
MEMORY_LIMIT = 512 * 2**20


class Entry(NamedTuple):
    """One image: a file, or ``length`` bytes of a tar shard from ``offset`` that are its member ``member``."""

    file: str
    label: int
    offset: int = 0
    length: int = -1
    member: str = ""

    @property
    def name(self) -> str:
        """How messages call the image."""
        return f"{self.file}:{self.member}" if self.member else self.file


@dataclass(frozen=True, repr=False)
class Listing:
    """The entries of both splits and the class names that their labels index, in an order that is always the same."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[Entry, ...]
    test: tuple[Entry, ...]

    def select(self, classes: Sequence[str]) -> Listing:
        """The listing of a part of the classes, renumbered in the order given."""
        index = {self.classes.index(name): new for new, name in enumerate(classes)}
        train, test = (
            tuple(entry._replace(label=index[entry.label]) for entry in split if entry.label in index)
            for split in (self.train, self.test)
        )
        return Listing(self.root, tuple(classes), train, test)

    def default_image_size(self) -> int:
        """The size of small square images (as CIFAR's 32 px, up to 64 px); 224 px for photographs."""
        for entry in self.train:
            image = decode(read_range(entry.file, entry.offset, entry.length))
            if image is not None:
                return image.width if image.width == image.height <= 64 else 224
        raise CorruptImages([entry.name for entry in self.train], len(self.train))

    def open(self, image_size: int, corrupt: Corrupt) -> tuple[Images, Images, str]:
        """Training images, test images and content hash (of every byte for sets in memory, else of names and sizes)."""
        splits = (self.train, self.test)
        digest = hashlib.blake2b(digest_size=6)
        if max(map(len, splits)) * 3 * image_size**2 > MEMORY_LIMIT:
            for entry in (*self.train, *self.test):
                size = entry.length if entry.member else Path(entry.file).stat().st_size
                digest.update(f"{self._relative(entry)} {entry.label} {size}\n".encode())
            train, test = (_on_demand(split, image_size, corrupt) for split in splits)
            return train, test, digest.hexdigest()
        held = [self._in_memory(split, image_size, digest) for split in splits]
        damaged = [name for images in held for name in images.corrupt]
        if damaged and corrupt == "error":
            raise CorruptImages(damaged, sum(map(len, splits)))
        return held[0], held[1], digest.hexdigest()

    def _relative(self, entry: Entry) -> str:
        return f"{Path(entry.file).relative_to(self.root).as_posix()}:{entry.member}"

    def _in_memory(self, entries: Sequence[Entry], size: int, digest: hashlib.blake2b) -> MemoryImages:
        """Read, hash and decode ``entries``; the damaged ones are left out of the images, logged and listed."""
        pixels = torch.empty(len(entries), 3, size, size, dtype=torch.uint8)
        labels: list[int] = []
        bad: list[str] = []
        for entry in entries:
            data = read_range(entry.file, entry.offset, entry.length)
            digest.update(f"{self._relative(entry)} {entry.label}\n".encode() + data)
            image = decode(data)
            if image is None:
                bad.append(entry.name)
                log.warning("cannot decode %s", entry.name)
            else:
                pixels[len(labels)] = fit(image, size)
                labels.append(entry.label)
        return MemoryImages(pixels[: len(labels)], torch.tensor(labels, dtype=torch.int64), tuple(bad))


def _on_demand(entries: Sequence[Entry], size: int, corrupt: Corrupt) -> FileImages:
    return FileImages(
        files=tuple(entry.file for entry in entries),
        ranges=np.array([(entry.offset, entry.length) for entry in entries], dtype=np.int64),
        labels=torch.tensor([entry.label for entry in entries], dtype=torch.int64),
        image_size=size,
        corrupt=corrupt,
        members=tuple(entry.member for entry in entries),
    )
