"""The data sets networks are searched and trained on: digits, CIFAR, ImageNet, any class folders, by one call.

>>> proxy = load_proxy("digits")
>>> proxy.train.batch(torch.arange(96)).shape, proxy.version
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms.v2 import functional as transform

from nas.cifar import LAYOUTS, find_cifar, read_cifar
from nas.errors import NaswildError, unknown
from nas.imagefolder import list_folder
from nas.images import Corrupt, Images, MemoryImages, channel_statistics
from nas.listing import Listing
from nas.seeding import generator
from nas.shards import find_shards, list_shards

NAMES = ("digits", *LAYOUTS, "imagenet", "imagenet100")

IMAGENET_MEAN: tuple[float, ...] = (0.485, 0.456, 0.406)
IMAGENET_STD: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Proxy:
    """A classification data set: ``train`` and ``test`` images of ``image_size`` x ``image_size`` pixels.

    ``mean`` and ``std`` are per channel on the 0 to 1 scale: measured on the training images for sets held in memory,
    ImageNet's for larger ones. ``version`` is a hash of the content; two proxies of one version are the same data.
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    version: str

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def load_proxy(
    name_or_path: str | Path,
    *,
    image_size: int | None = None,
    root: str | Path | None = None,
    subset_classes: int | None = None,
    subset_seed: int = 0,
    corrupt: Corrupt = "error",
) -> Proxy:
    """Load a data set: "digits", "cifar10", "cifar100", "imagenet", "imagenet100", class folders or tar shards.

    ``root`` is the folder with the files of a named set (digits needs none; nothing is downloaded). ``image_size``
    defaults to the set's own (32 for digits and CIFAR, 224 for photographs). ``subset_classes`` keeps that many
    classes, drawn by ``subset_seed``: the paper searches on 100 of ImageNet's 1,000 (section 5.3.1); which ones is in
    ``Proxy.classes``. Images that cannot be decoded raise one :class:`~nas.images.CorruptImages` with all their paths,
    or are left out and logged with ``corrupt="skip"``.
    """
    name = str(name_or_path)
    if name == "digits":
        return _digits(image_size or 32)
    if name == "imagenet100":
        subset_classes = subset_classes or 100
    folder = _find(name, root)
    files = find_cifar(name, folder) if name in LAYOUTS else None
    if files is not None:
        return _cifar(name, files, image_size or 32, subset_classes)
    label = name if name in NAMES else folder.name
    return _folder(label, folder, image_size, subset_classes, subset_seed, corrupt)


def _find(name: str, root: str | Path | None) -> Path:
    """The folder of a named set (``root``) or of a path; errors say which of the two is missing."""
    if name in NAMES and root is None:
        raise NaswildError(f"{name} is read from files you have, nothing is downloaded: name their folder (root=...)")
    folder = Path(root if name in NAMES and root is not None else name).expanduser()
    if folder.is_dir():
        return folder
    if name in NAMES or len(folder.parts) > 1:
        raise NaswildError(f"no data set at {folder}: not a folder")
    raise unknown("proxy", name, NAMES)


def _digits(image_size: int) -> Proxy:
    """Scikit-learn's 1,797 handwritten digits, 8 x 8, as RGB: 1,437 to train and 360 to test, stratified, fixed."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    grey = torch.from_numpy(np.rint(data.images * (255 / 16)).astype(np.uint8))[:, None]
    pixels = grey.expand(-1, 3, -1, -1).contiguous()
    labels = torch.from_numpy(data.target.astype(np.int64))
    parts = train_test_split(np.arange(len(labels)), test_size=360, stratify=data.target, random_state=0)
    train, test = (MemoryImages(pixels[part], labels[part]) for part in map(torch.from_numpy, parts))
    return _in_memory("digits", train, test, tuple(map(str, data.target_names)), image_size)


def _cifar(name: str, files: Path, image_size: int, subset_classes: int | None) -> Proxy:
    if subset_classes is not None:
        raise NaswildError(f"{name}: subset_classes is for class folders, not for CIFAR's official files")
    train, test, classes = read_cifar(name, files)
    return _in_memory(name, train, test, classes, image_size)


def _folder(
    name: str, root: Path, image_size: int | None, subset: int | None, subset_seed: int, corrupt: Corrupt
) -> Proxy:
    found = list_shards(root) if any(find_shards(root)) else list_folder(root)
    listing = _draw_classes(found, subset, subset_seed)
    size = image_size or listing.default_image_size()
    train, test, version = listing.open(size, corrupt)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if isinstance(train, MemoryImages):
        mean, std = channel_statistics(train.pixels)
    return Proxy(name, train, test, listing.classes, mean, std, size, version)


def _draw_classes(listing: Listing, count: int | None, seed: int) -> Listing:
    if count is None:
        return listing
    if not 2 <= count <= len(listing.classes):
        raise NaswildError(f"subset_classes must be 2 to {len(listing.classes)}, the number of classes; got {count}")
    drawn = torch.randperm(len(listing.classes), generator=generator(seed, "classes"))[:count]
    return listing.select([listing.classes[i] for i in sorted(drawn.tolist())])


def _in_memory(name: str, train: MemoryImages, test: MemoryImages, classes: Sequence[str], image_size: int) -> Proxy:
    """A proxy whose version hashes the original pixels and labels, resized afterwards to ``image_size``."""
    digest = hashlib.blake2b(digest_size=6)
    for part in (train.pixels, train.labels, test.pixels, test.labels):
        digest.update(part.numpy().tobytes())
    train, test = _resized(train, image_size), _resized(test, image_size)
    mean, std = channel_statistics(train.pixels)
    return Proxy(name, train, test, tuple(classes), mean, std, image_size, digest.hexdigest())


def _resized(images: MemoryImages, size: int) -> MemoryImages:
    if images.pixels.shape[-1] == size:
        return images
    return MemoryImages(transform.resize(images.pixels, [size, size], antialias=True), images.labels)
