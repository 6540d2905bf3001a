"""Class folders as labelled images: ``train/<class>/*`` with ``test|val/<class>/*``, or one level, split by hash."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nas.errors import NaswildError
from nas.images import Corrupt, CorruptImages, FileImages, Images, MemoryImages, decode, fit

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
# A split whose decoded pixels fit this many bytes is held in memory; a larger one is decoded on demand.
MEMORY_LIMIT = 512 * 2**20
# One level of class folders: this share of the files, chosen by a hash of class and file name, is the test split.
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Listing:
    """The files of both splits as (path, class index), with the class names; sorted, so that indices are stable."""

    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]

    def select(self, classes: Sequence[str]) -> Listing:
        """The listing of a part of the classes, renumbered in the order given."""
        index = {self.classes.index(name): new for new, name in enumerate(classes)}
        train, test = (
            tuple((path, index[label]) for path, label in split if label in index) for split in (self.train, self.test)
        )
        return Listing(tuple(classes), train, test)


def list_folder(root: Path) -> Listing:
    """Find the images of a class-folder tree. Errors name what is missing and which layouts are read."""
    train = root / "train"
    if not train.is_dir():
        return _split_by_hash(root)
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if test is None:
        raise NaswildError(f"{root} has train/ but neither test/ nor val/; add one, each with a folder per class")
    classes = _classes(train)
    extra = sorted(set(_classes(test)) - set(classes))
    if extra:
        raise NaswildError(f"{test} has classes that {train} lacks: {', '.join(extra[:5])}")
    return Listing(classes, _files(train, classes), _files(test, classes))


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise NaswildError(
            f"{folder} needs a folder of images per class, at least two; found {len(classes)}. "
            "Layouts that are read: train/<class>/ with test/<class>/ or val/<class>/, or <class>/ alone"
        )
    return classes


def _files(folder: Path, classes: Sequence[str]) -> tuple[tuple[Path, int], ...]:
    found = tuple(
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES
    )
    if not found:
        raise NaswildError(f"no images under {folder}; suffixes that are read: {' '.join(sorted(SUFFIXES))}")
    return found


def _split_by_hash(root: Path) -> Listing:
    """80 to 20, file by file: adding or removing files never moves another one across the split."""
    classes = _classes(root)
    files = _files(root, classes)
    in_test = [_hash_fraction(path.relative_to(root).as_posix()) < TEST_SHARE for path, _ in files]
    train = tuple(file for file, held in zip(files, in_test, strict=True) if not held)
    test = tuple(file for file, held in zip(files, in_test, strict=True) if held)
    if not train or not test:
        raise NaswildError(f"{root} has too few images to split: {len(files)}; add images, or make train/ and test/")
    return Listing(classes, train, test)


def _hash_fraction(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def default_image_size(listing: Listing) -> int:
    """The size of small square images (as CIFAR's 32 px, up to 64 px); 224 px for photographs."""
    for path, _ in listing.train:
        image = decode(path.read_bytes())
        if image is not None:
            return image.width if image.width == image.height <= 64 else 224
    raise CorruptImages([str(path) for path, _ in listing.train], len(listing.train))


def open_folder(root: Path, listing: Listing, image_size: int, corrupt: Corrupt) -> tuple[Images, Images, str]:
    """Training images, test images and content hash (of every byte for sets in memory, else of names and sizes)."""
    splits = (listing.train, listing.test)
    if max(len(split) for split in splits) * 3 * image_size**2 > MEMORY_LIMIT:
        lazy = [_on_demand(split, image_size, corrupt) for split in splits]
        sizes = "".join(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n" for s in splits for path, _ in s)
        return lazy[0], lazy[1], hashlib.blake2b(sizes.encode(), digest_size=6).hexdigest()
    digest = hashlib.blake2b(digest_size=6)
    held, damaged = [], []
    for split in splits:
        images, bad = _in_memory(root, split, image_size, digest)
        held.append(images)
        damaged += bad
    if damaged and corrupt == "error":
        raise CorruptImages(damaged, sum(map(len, splits)))
    return held[0], held[1], digest.hexdigest()


def _in_memory(
    root: Path, files: Sequence[tuple[Path, int]], size: int, digest: hashlib.blake2b
) -> tuple[MemoryImages, list[str]]:
    """Read, hash and decode ``files``; the damaged ones are left out of the images, logged and returned."""
    pixels = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    labels: list[int] = []
    bad: list[str] = []
    for path, label in files:
        data = path.read_bytes()
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + data)
        image = decode(data)
        if image is None:
            bad.append(str(path))
            log.warning("cannot decode %s", path)
        else:
            pixels[len(labels)] = fit(image, size)
            labels.append(label)
    return MemoryImages(pixels[: len(labels)], torch.tensor(labels, dtype=torch.int64), tuple(bad)), bad


def _on_demand(files: Sequence[tuple[Path, int]], size: int, corrupt: Corrupt) -> FileImages:
    return FileImages(
        files=tuple(str(path) for path, _ in files),
        ranges=np.tile(np.array([0, -1], dtype=np.int64), (len(files), 1)),
        labels=torch.tensor([label for _, label in files], dtype=torch.int64),
        image_size=size,
        scale=0.875,
        corrupt=corrupt,
    )
