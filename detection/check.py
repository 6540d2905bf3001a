"""Finds what is wrong with a COCO-format data set before a training run does, and lists all of it.

>>> problems = check_coco(CocoData.open("data/coco"))
>>> print(summarise(problems))

The form of the annotation files is examined by :mod:`detection.annotations`, the image files by
:mod:`detection.check_images`; here is what the entries say of each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detection.annotations import BrokenAnnotations
from detection.check_images import check_images
from detection.data import CocoData, CocoSplit
from nas.errors import NaswildError
from nas.progress import Report, silent

DECODED = 200  # images of a part that are decoded unless told otherwise
SLACK = 1.0  # pixels a box may reach beyond its image: COCO's own boxes are rounded

# What stops a run or falsifies its result, and what mmdet skips or clips by itself.
ERRORS = (
    "malformed file",
    "missing image",
    "unreadable image",
    "wrong size",
    "turned image",
    "duplicate image id",
    "duplicate annotation id",
    "duplicate category id",
    "duplicate category",
    "unknown image",
    "unknown category",
    "image in two parts",
    "categories differ",
    "no boxes",
)
WARNINGS = (
    "box outside",
    "empty box",
    "missing area",
    "empty category",
    "part without boxes",
    "perhaps turned image",
)


@dataclass(frozen=True)
class Problem:
    """One finding: what it is (:data:`ERRORS` or :data:`WARNINGS`), in which part, and where exactly."""

    kind: str
    part: str
    detail: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        return "error" if self.kind in ERRORS else "warning"


def check_coco(
    data: CocoData, *, headers: bool = True, decoded: int | None = DECODED, report: Report = silent
) -> list[Problem]:
    """Every problem of every part.

    Args:
        headers: read the header of each image file: its size, and whether it asks to be turned. Without it only those
            images are looked at that are decoded.
        decoded: images of each part, evenly spaced, that are decoded to the end; None decodes all of them.
    """
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    classes: set[str] | None = None  # of the training part
    for part in ("train", "val", "test"):
        if part == "test" and data.test is None:
            continue
        split = data.split(part)
        try:
            content = split.read()
        except BrokenAnnotations as broken:
            problems += [Problem("malformed file", part, fault) for fault in broken.faults]
            continue
        classes = _names(content) if part == "train" else classes
        problems += _check_ids(content, part)
        problems += _check_boxes(content, part)
        problems += _check_categories(content, part, classes)
        problems += _check_leak(split, content, part, seen)
        images = check_images(split, content, headers, decoded, report)
        problems += [Problem(kind, part, detail) for kind, detail in images]
    return problems


def refuse_broken(data: CocoData, split: str = "val") -> None:
    """Raise :class:`NaswildError` listing the errors of a data set, if it has any; few images are opened.

    The part ``split``, which is to be scored, must have boxes.
    """
    found = check_coco(data, headers=False, decoded=50)
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise NaswildError(f"data set {data.name} cannot be used:\n{summarise(errors)}")
    if any(problem.kind == "part without boxes" and problem.part == split for problem in found):
        raise NaswildError(f"{data.split(split).annotations} has no boxes to score with: choose another part")


def summarise(problems: Iterable[Problem], limit: int = 10) -> str:
    """One block per kind of problem: how many, and the first ``limit`` of them."""
    blocks: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        blocks.setdefault((problem.severity, problem.kind), []).append(problem)
    lines: list[str] = []
    for (severity, kind), found in blocks.items():
        lines.append(f"{severity}: {kind} ({len(found)})")
        lines += [f"  {p.part}: {p.detail}" for p in found[:limit]]
        if len(found) > limit:
            lines.append(f"  ... and {len(found) - limit} more")
    return "\n".join(lines) or "no problems found"


def _names(content: dict[str, Any]) -> set[str]:
    return {category["name"] for category in content["categories"]}


def _check_ids(content: dict[str, Any], part: str) -> Iterator[Problem]:
    for key, kind in (("images", "image"), ("annotations", "annotation"), ("categories", "category")):
        ids = [entry.get("file_id", entry["id"]) for entry in content[key]]
        if len(set(ids)) < len(ids):
            repeated = ((identity, count) for identity, count in Counter(ids).items() if count > 1)
            yield from (Problem(f"duplicate {kind} id", part, f"id {i} stands for {n} {key}") for i, n in repeated)
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    for entry in content["annotations"]:
        if entry["image_id"] not in images:
            yield Problem("unknown image", part, f"annotation {entry['file_id']} is of image {entry['image_id']}")
        if entry["category_id"] not in categories:
            where = f"annotation {entry['file_id']} is of category {entry['category_id']}"
            yield Problem("unknown category", part, where)


def _check_boxes(content: dict[str, Any], part: str) -> Iterator[Problem]:
    entries = content["annotations"]
    if not entries:
        return
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    nowhere = (float("inf"), float("inf"))  # the image is unknown, which is said elsewhere
    box = np.array([entry["bbox"] for entry in entries], dtype=np.float64)
    limit = np.array([sizes.get(entry["image_id"], nowhere) for entry in entries])
    empty = box[:, 2:].min(axis=1) <= 0
    beyond = np.maximum(-box[:, :2], box[:, :2] + box[:, 2:] - limit)
    outside = beyond.max(axis=1) > SLACK
    for index in np.flatnonzero(empty | outside):
        entry = entries[index]
        where = f"annotation {entry['file_id']} of image {entry['image_id']}: box {entry['bbox']}"
        if empty[index]:
            yield Problem("empty box", part, where)
        if outside[index]:
            width, height = sizes.get(entry["image_id"], nowhere)
            yield Problem("box outside", part, f"{where} in an image of {width} x {height}")
    if content["area_missing"]:
        count = f"{content['area_missing']} of {len(entries)} annotations have no area"
        yield Problem("missing area", part, f"{count}: that of the box decides which objects are small")


def _check_categories(content: dict[str, Any], part: str, classes: set[str] | None) -> Iterator[Problem]:
    """``classes`` are those of the training part; None if that could not be read."""
    for name, count in Counter(category["name"] for category in content["categories"]).items():
        if count > 1:
            yield Problem("duplicate category", part, f"{name!r} stands {count} times")
    if classes is not None and _names(content) != classes:
        difference = sorted(_names(content) ^ classes)
        yield Problem("categories differ", part, f"from those of train: {', '.join(map(repr, difference))}")
    used = {entry["category_id"] for entry in content["annotations"] if _counts(entry)}
    if not used:
        if part == "test":
            yield Problem("part without boxes", part, "it can be predicted (test-dev), not scored")
        else:
            yield Problem("no boxes", part, "nothing can be " + ("learnt" if part == "train" else "scored"))
        return
    for category in content["categories"]:
        if category["id"] not in used:
            yield Problem("empty category", part, f"{category['name']!r} has no box")


def _counts(entry: dict[str, Any]) -> bool:
    """Whether a box is an object to learn or to find: not a crowd, and with an area."""
    return not entry["iscrowd"] and min(entry["bbox"][2:]) > 0


def _check_leak(split: CocoSplit, content: dict[str, Any], part: str, seen: dict[str, str]) -> Iterator[Problem]:
    """Images that an earlier part has too; ``seen`` maps the paths met so far to their part."""
    for image in content["images"]:
        path = f"{split.images}/{image['file_name']}"
        if seen.setdefault(path, part) != part:
            yield Problem("image in two parts", part, f"{image['file_name']} is in {seen[path]} too")
