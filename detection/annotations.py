"""Reads an annotation file in COCO's format, checks the form of every entry, and parses each file once per process.

The form is what pycocotools and mmdet rely on without looking: whole numbers as ids, four finite numbers as a box,
names that are text. What the entries say of each other and of the images is examined by :mod:`detection.check`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from nas.errors import NaswildError

EXACT = 2**53  # the largest whole number up to which float64, the type of a row of detections, has every one
KEPT = 3  # parsed files that are held: train, val and test of one data set

_Id = Annotated[int, Field(ge=0, lt=2**63)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Whole = Annotated[float, Field(gt=0, multiple_of=1)]  # 640.0 is a size too
_Text = Annotated[str, Field(min_length=1)]


class _Image(TypedDict):
    id: _Id
    file_name: _Text
    width: _Whole
    height: _Whole


class _Annotation(TypedDict):
    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: Annotated[list[_Number], Field(min_length=4, max_length=4)]
    area: NotRequired[Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    iscrowd: NotRequired[Annotated[int, Field(ge=0, le=1)] | bool]
    ignore: NotRequired[Annotated[int, Field(ge=0, le=1)] | bool]


class _MaskAnnotation(_Annotation):
    segmentation: NotRequired[Any]


class _Category(TypedDict):
    id: _Id
    name: _Text


class _Boxes(TypedDict):
    info: NotRequired[Any]
    images: list[_Image]
    categories: list[_Category]
    annotations: NotRequired[list[_Annotation]]


class _Masks(_Boxes):
    annotations: NotRequired[list[_MaskAnnotation]]  # type: ignore[misc]


_kept: dict[Path, tuple[tuple[int, int], dict[str, Any]]] = {}  # by file: time and size, content
_BOXES: TypeAdapter[Any] = TypeAdapter(_Boxes)
_MASKS: TypeAdapter[Any] = TypeAdapter(_Masks)


class BrokenAnnotations(NaswildError):
    """An annotation file without COCO's form; ``faults`` holds one line for each place that departs from it."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        self.faults = faults
        more = f"\n  ... and {len(faults) - 10} more" if len(faults) > 10 else ""
        super().__init__(f"{path} is not in COCO's format:\n  " + "\n  ".join(faults[:10]) + more)


def read_annotations(path: str | Path, *, masks: bool = False) -> dict[str, Any]:
    """The content of an annotation file: ``images``, ``categories`` and ``annotations`` with the fields in use.

    Annotations are renumbered from 1, since pycocotools takes a match with id 0 for none. Image ids that float64
    may round (above 2^53) become the next free smaller ones. ``file_id`` keeps the id of the file. A missing ``area``
    is that of the box, and ``area_missing`` counts these; a missing ``iscrowd`` is 0.

    Args:
        masks: keep ``segmentation`` too. It is most of COCO's file, so such content is parsed at every call.

    The content is shared by all callers and must not be changed. A file that was changed is read again.

    Raises:
        NaswildError: the file cannot be read.
        BrokenAnnotations: it is not JSON, or an entry lacks COCO's form.
    """
    path = Path(path)
    try:
        state = path.stat()
    except OSError as error:
        raise NaswildError(f"cannot read COCO annotations {path}: {error}") from error
    if masks:
        return _read(path, masks=True)
    version = state.st_mtime_ns, state.st_size
    if _kept.get(path, (None,))[0] != version:
        forget_annotations(path)
        content = _read(path, masks=False)
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[path] = version, content
    return _kept[path][1]


def forget_annotations(path: Path) -> None:
    """Release a parsed file. COCO's training part takes a gigabyte, which is of no use once the data set is built."""
    _kept.pop(path, None)


def _read(path: Path, *, masks: bool) -> dict[str, Any]:
    try:
        text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # a byte order mark, as some Windows programs write
    except OSError as error:
        raise NaswildError(f"cannot read COCO annotations {path}: {error}") from error
    try:
        content = (_MASKS if masks else _BOXES).validate_json(text, strict=True)
    except ValidationError as error:
        raise BrokenAnnotations(path, list(_faults(error))) from None
    content.setdefault("annotations", [])
    _complete(content)
    _shorten_image_ids(content)
    return content


def label_ids(content: dict[str, Any], classes: Sequence[str]) -> list[int]:
    """The category id in ``content`` of each of ``classes``: position i is the id of label i.

    Raises:
        NaswildError: a class is not a category of the file.
    """
    ids = {category["name"]: category["id"] for category in content["categories"]}
    lacking = [name for name in classes if name not in ids]
    if lacking:
        raise NaswildError(
            f"the annotations have no category {', '.join(map(repr, lacking[:5]))}, which the training set has; they "
            f"have {', '.join(map(repr, sorted(ids)[:10]))}: give all parts the same categories"
        )
    return [ids[name] for name in classes]


def _faults(error: ValidationError) -> Iterable[str]:
    """``annotations[4].bbox[2]: Input should be a finite number, not nan``."""
    for fault in error.errors(include_url=False, include_context=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        found = "" if fault["type"] in ("missing", "json_invalid") else f", not {_short(fault['input'])}"
        yield f"{place or 'the file'}: {fault['msg']}{found}"


def _short(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _complete(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["width"], image["height"] = int(image["width"]), int(image["height"])
    missing = 0
    for number, entry in enumerate(content["annotations"], 1):
        entry["file_id"], entry["id"] = entry["id"], number
        entry["iscrowd"] = int(entry.get("iscrowd", 0))
        if "area" not in entry:
            missing += 1
            entry["area"] = math.prod(entry["bbox"][2:])
    content["area_missing"] = missing


def _shorten_image_ids(content: dict[str, Any]) -> None:
    for image in content["images"]:
        image["file_id"] = image["id"]
    ids = {image["id"] for image in content["images"]}
    large = sorted(identity for identity in ids if identity > EXACT)
    if not large:
        return
    start = max((identity for identity in ids if identity <= EXACT), default=0) + 1
    short = {identity: number for number, identity in enumerate(large, start)}
    for image in content["images"]:
        image["id"] = short.get(image["id"], image["id"])
    for entry in content["annotations"]:
        entry["image_id"] = short.get(entry["image_id"], entry["image_id"])
