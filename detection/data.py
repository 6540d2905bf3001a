"""A data set in COCO's format on disk: where its parts are, which classes it has, which version it is."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from detection.annotations import read_annotations
from nas.errors import NaswildError

# Where annotations and images of a part (train, val, test) are found; the first that exists counts.
_ANNOTATIONS = (
    "annotations/instances_{part}2017.json",
    "annotations/instances_{part}.json",
    "annotations/image_info_{part}-dev2017.json",  # the images of COCO's test-dev have no published boxes
)
# Images and boxes of COCO 2017's own parts.
_COCO2017 = {"train": (118_287, 860_001), "val": (5_000, 36_781)}
_IMAGES = ("{part}2017", "{part}", "images")


class CocoSplit(BaseModel):
    """One part: the annotation file and the folder that its file names are relative to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotations: Path
    images: Path

    def read(self) -> dict[str, Any]:
        """The content of :func:`~detection.annotations.read_annotations`, shared by all callers: do not change it."""
        return read_annotations(self.annotations)


class CocoData(BaseModel):
    """Training and validation part, and the test part if there is one.

    >>> data = CocoData.open("data/coco")        # COCO 2017 as unpacked: train2017, val2017, annotations
    >>> data = CocoData.open("data/digits")      # annotations/instances_{train,val}.json and train/, val/ or images/
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    train: CocoSplit
    val: CocoSplit
    test: CocoSplit | None = None

    @classmethod
    def open(cls, root: str | Path, name: str | None = None) -> CocoData:
        """Find the parts below ``root``. COCO's train2017 is the paper's trainval35k; val2017 was called minival."""
        root = Path(root).expanduser().resolve()
        if not root.is_dir():
            raise NaswildError(f"no data set at {root}: not a folder")
        parts = {part: _find(root, part) for part in ("train", "val", "test")}
        lacking = [part for part in ("train", "val") if parts[part] is None]
        if lacking:
            wanted = " or ".join(pattern.format(part=lacking[0]) for pattern in _ANNOTATIONS[:2])
            raise NaswildError(
                f"{root} has no {lacking[0]} part in COCO's format: expected {wanted}, beside its images"
            )
        return cls(name=name or root.name, **{part: split for part, split in parts.items() if split is not None})

    def split(self, part: str) -> CocoSplit:
        """The part by name: "train", "val" or "test"."""
        found = {"train": self.train, "val": self.val, "test": self.test}.get(part)
        if found is None:
            raise NaswildError(f"data set {self.name} has no part {part!r}")
        return found

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the training part's categories; labels are positions in it."""
        return tuple(category["name"] for category in self.train.read()["categories"])

    @property
    def is_coco2017(self) -> bool:
        """Whether training and validation part are COCO 2017's own, by their images, boxes and 80 categories."""
        return all(is_coco2017(self.split(part).read(), part) for part in _COCO2017)

    @cached_property
    def version(self) -> str:
        """12 hexadecimal digits of a hash over the annotation files: two data sets of one version are the same."""
        digest = hashlib.blake2b(digest_size=6)
        for split in (self.train, self.val, self.test):
            if split is not None:
                digest.update(split.annotations.read_bytes())
        return digest.hexdigest()


def is_coco2017(content: dict[str, Any], part: str) -> bool:
    """Whether ``content`` is that of COCO 2017's annotation file of ``part`` ("train" or "val")."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    if (len(content["images"]), len(content["annotations"])) != _COCO2017[part]:
        return False
    by_id = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]  # with gaps, as the ids of COCO have
    categories = {number: name for number, name in enumerate(by_id) if name not in ("__background__", "N/A")}
    return {category["id"]: category["name"] for category in content["categories"]} == categories


def _find(root: Path, part: str) -> CocoSplit | None:
    annotations = _first(root, _ANNOTATIONS, part)
    images = _first(root, _IMAGES, part)
    if annotations is None or images is None:
        return None
    return CocoSplit(annotations=annotations, images=images)


def _first(root: Path, patterns: tuple[str, ...], part: str) -> Path | None:
    paths = (root / pattern.format(part=part) for pattern in patterns)
    return next((path for path in paths if path.exists()), None)
