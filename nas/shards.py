"""Images in tar shards, read in place by offset: webdataset's ``key.jpg`` with ``key.cls``, or one tar per class.

Each archive is walked once for its table of contents; afterwards an image is one seek and one read, in any order, so
shuffling and resuming are as exact as with loose files.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from nas.errors import NaswildError
from nas.listing import SUFFIXES, Entry, Listing

# A shard belongs to the split whose word is in its path below the root, as in train/0001.tar or imagenet-val-03.tar.
TRAIN_WORD = "train"
TEST_WORDS = ("val", "test")


def find_shards(root: Path) -> tuple[list[Path], list[Path]]:
    """Training and test archives in ``root`` and the folders in it, sorted; both empty when there are none."""
    train, test = [], []
    for path in sorted([*root.glob("*.tar"), *root.glob("*/*.tar")]):
        below = path.relative_to(root).as_posix().lower()
        if TRAIN_WORD in below:
            train.append(path)
        elif any(word in below for word in TEST_WORDS):
            test.append(path)
    return train, test


def list_shards(root: Path) -> Listing:
    """The images of the shards below ``root``.

    With ``.cls`` members the classes are the numbers in them, in order; without, every archive is a class of its own,
    named by the file (``train/n01440764.tar``).
    """
    splits = dict(zip(("train", "val or test"), find_shards(root), strict=True))
    empty = [name for name, shards in splits.items() if not shards]
    if empty:
        raise NaswildError(f"{root} has tar shards but none with {empty[0]} in its path; name or place them by split")
    train, test = ([item for shard in shards for item in _walk(shard)] for shards in splits.values())
    known = {label for _, label in train}
    if len(known) < 2 or not {label for _, label in test} <= known:
        raise NaswildError(f"{root}: the shards need at least two classes, and no class in test that train lacks")
    classes = sorted(known, key=lambda label: (int(label) if label.isdecimal() else -1, label))
    index = {label: position for position, label in enumerate(classes)}
    return Listing(
        root,
        tuple(classes),
        tuple(entry._replace(label=index[label]) for entry, label in train),
        tuple(entry._replace(label=index[label]) for entry, label in test),
    )


def _walk(shard: Path) -> Iterator[tuple[Entry, str]]:
    """Every image of an archive with the text of its class."""
    images: dict[str, Entry] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                key, suffix = Path(member.name).with_suffix("").as_posix(), Path(member.name).suffix.lower()
                if suffix in SUFFIXES:
                    images[key] = Entry(str(shard), 0, member.offset_data, member.size, member.name)
                elif suffix == ".cls":
                    content = archive.extractfile(member)
                    labels[key] = content.read().decode().strip() if content is not None else ""
    except tarfile.TarError as error:
        raise NaswildError(f"{shard} is not a tar archive, or cut short ({error}); copy it again") from error
    without = [key for key in images if key not in labels] if labels else []
    if without:
        raise NaswildError(f"{shard}: {len(without)} images have no .cls beside them, the first is {without[0]}")
    for key, entry in images.items():
        yield entry, labels.get(key, shard.stem)
