"""Finds what is wrong with a COCO-format data set before a training run does, and lists all of it.

>>> problems = check_coco(CocoData.open("data/coco"))
>>> print(summarise(problems))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from detection.data import CocoData, CocoSplit
from nas.errors import NaswildError
from nas.progress import Progress, Report, silent

SLACK = 1.0  # pixels a box may reach beyond its image: COCO's own boxes are rounded

# What stops a run or falsifies its result, and what mmdet skips or clips by itself.
ERRORS = (
    "missing image",
    "unreadable image",
    "wrong size",
    "duplicate image id",
    "duplicate annotation id",
    "duplicate category",
    "unknown image",
    "unknown category",
    "image in two parts",
    "categories differ",
)
WARNINGS = ("box outside", "empty box", "empty category", "part without boxes")


@dataclass(frozen=True)
class Problem:
    """One finding: what it is (:data:`ERRORS` or :data:`WARNINGS`), in which part, and where exactly."""

    kind: str
    part: str
    detail: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        return "error" if self.kind in ERRORS else "warning"


def check_coco(data: CocoData, *, open_images: bool = True, report: Report = silent) -> list[Problem]:
    """Every problem of every part. ``open_images=False`` leaves out reading the images' headers (sizes, damage)."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for part in ("train", "val", "test"):
        if part == "test" and data.test is None:
            continue
        split = data.split(part)
        content = split.read()
        problems += _check_ids(content, part)
        problems += _check_boxes(content, part)
        problems += _check_categories(content, part, data.classes)
        problems += _check_leak(split, content, part, seen)
        problems += _check_images(split, content, part, open_images, report)
    return problems


def refuse_broken(data: CocoData) -> None:
    """Raise :class:`NaswildError` listing the errors of a data set, if it has any; headers of images are not read."""
    errors = [problem for problem in check_coco(data, open_images=False) if problem.severity == "error"]
    if errors:
        raise NaswildError(f"data set {data.name} cannot be used:\n{summarise(errors)}")


def summarise(problems: Iterable[Problem], limit: int = 10) -> str:
    """One block per kind of problem: how many, and the first ``limit`` of them."""
    problems = list(problems)
    lines: list[str] = []
    for (severity, kind), count in Counter((p.severity, p.kind) for p in problems).items():
        lines.append(f"{severity}: {kind} ({count})")
        found = [p for p in problems if p.kind == kind]
        lines += [f"  {p.part}: {p.detail}" for p in found[:limit]]
        if len(found) > limit:
            lines.append(f"  ... and {len(found) - limit} more")
    return "\n".join(lines) or "no problems found"


def _check_ids(content: dict[str, Any], part: str) -> Iterator[Problem]:
    for key, kind in (("images", "duplicate image id"), ("annotations", "duplicate annotation id")):
        for identity, count in Counter(entry["id"] for entry in content[key]).items():
            if count > 1:
                yield Problem(kind, part, f"id {identity} stands for {count} {key}")
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    for entry in content["annotations"]:
        if entry["image_id"] not in images:
            yield Problem("unknown image", part, f"annotation {entry['id']} is of image {entry['image_id']}")
        if entry["category_id"] not in categories:
            yield Problem("unknown category", part, f"annotation {entry['id']} is of category {entry['category_id']}")


def _check_boxes(content: dict[str, Any], part: str) -> Iterator[Problem]:
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        where = f"annotation {entry['id']} of image {entry['image_id']}: box {entry['bbox']}"
        if width <= 0 or height <= 0:
            yield Problem("empty box", part, where)
        limit_x, limit_y = sizes.get(entry["image_id"], (float("inf"), float("inf")))
        if x < -SLACK or y < -SLACK or x + width > limit_x + SLACK or y + height > limit_y + SLACK:
            yield Problem("box outside", part, f"{where} in an image of {limit_x} x {limit_y}")


def _check_categories(content: dict[str, Any], part: str, classes: tuple[str, ...]) -> Iterator[Problem]:
    names = [category["name"] for category in content["categories"]]
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem("duplicate category", part, f"{name!r} stands {count} times")
    if set(names) != set(classes):
        difference = sorted(set(names) ^ set(classes))
        yield Problem("categories differ", part, f"from those of train: {', '.join(map(repr, difference))}")
    if not content["annotations"]:
        yield Problem("part without boxes", part, "it can be predicted (test-dev) but neither trained on nor scored")
        return
    used = {entry["category_id"] for entry in content["annotations"]}
    for category in content["categories"]:
        if category["id"] not in used:
            yield Problem("empty category", part, f"{category['name']!r} has no box")


def _check_leak(split: CocoSplit, content: dict[str, Any], part: str, seen: dict[str, str]) -> Iterator[Problem]:
    """Images that an earlier part has too; ``seen`` maps the paths met so far to their part."""
    for image in content["images"]:
        path = str(split.images / image["file_name"])
        if seen.setdefault(path, part) != part:
            yield Problem("image in two parts", part, f"{image['file_name']} is in {seen[path]} too")


def _check_images(
    split: CocoSplit, content: dict[str, Any], part: str, open_images: bool, report: Report
) -> Iterator[Problem]:
    total = len(content["images"])
    for number, image in enumerate(content["images"], 1):
        path = split.images / image["file_name"]
        if not path.is_file():
            yield Problem("missing image", part, str(path))
        elif open_images:
            yield from _check_size(path, image, part)
        if number % 100 == 0 or number == total:
            report(Progress(f"check {part}", epoch=0, epochs=1, step=number, steps=total))


def _check_size(path: Any, image: dict[str, Any], part: str) -> Iterator[Problem]:
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except (UnidentifiedImageError, OSError) as error:
        yield Problem("unreadable image", part, f"{path}: {error}")
        return
    if (width, height) != (image["width"], image["height"]):
        written = f"{image['width']} x {image['height']}"
        yield Problem("wrong size", part, f"{path.name} is {width} x {height}, the annotations say {written}")
