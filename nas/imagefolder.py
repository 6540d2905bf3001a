"""Class folders: ``train/<class>/*`` with ``test/<class>/*`` or ``val/<class>/*``, or one level, split by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from nas.errors import NaswildError
from nas.listing import SUFFIXES, Entry, Listing

TEST_FOLDERS = ("test", "val", "validation")
# One level of class folders: this share of the files, chosen by a hash of class and file name, is the test split.
TEST_SHARE = 0.2


def list_folder(root: Path) -> Listing:
    """Find the images of a class-folder tree. Errors name what is missing and which layouts are read."""
    train = root / "train"
    if not train.is_dir():
        return _split_by_hash(root)
    test = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if test is None:
        raise NaswildError(f"{root} has train/ but neither test/ nor val/; add one, each with a folder per class")
    classes = _classes(train)
    extra = sorted(set(_classes(test)) - set(classes))
    if extra:
        raise NaswildError(f"{test} has classes that {train} lacks: {', '.join(extra[:5])}")
    return Listing(root, classes, _files(train, classes), _files(test, classes))


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if len(classes) < 2:
        raise NaswildError(
            f"{folder} needs a folder of images per class, at least two; found {len(classes)}. "
            "Layouts that are read: train/<class>/ with test/<class>/ or val/<class>/, <class>/ alone, or tar shards"
        )
    return classes


def _files(folder: Path, classes: Sequence[str]) -> tuple[Entry, ...]:
    found = tuple(
        Entry(str(path), label)
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
    in_test = [_hash_fraction(Path(entry.file).relative_to(root).as_posix()) < TEST_SHARE for entry in files]
    train = tuple(entry for entry, held in zip(files, in_test, strict=True) if not held)
    test = tuple(entry for entry, held in zip(files, in_test, strict=True) if held)
    if not train or not test:
        raise NaswildError(f"{root} has too few images to split: {len(files)}; add images, or make train/ and test/")
    return Listing(root, classes, train, test)


def _hash_fraction(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
