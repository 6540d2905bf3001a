"""The image files of a COCO-format part: there, whole, of the size that is written, and not to be turned.

Cameras store a picture as the sensor lay and a tag (EXIF orientation) that says how to turn it. mmdet's loader turns
the pixels, so boxes drawn on the unturned picture lie elsewhere. The annotated size tells which one they were drawn on.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import Base

from detection.data import CocoSplit
from nas.progress import Progress, Report

QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
THREADS = 4  # Pillow decodes outside the interpreter's lock


def check_images(
    split: CocoSplit, content: dict[str, Any], headers: bool, decoded: int | None, report: Report
) -> Iterator[tuple[str, str]]:
    """Kind and detail of each problem of the image files; arguments as in :func:`detection.check.check_coco`."""
    images = content["images"]
    total = len(images)
    count = total if decoded is None else min(decoded, total)
    chosen = {i * total // count for i in range(count)} if count else set()
    look = partial(_look, split.images, headers, chosen)
    with ThreadPoolExecutor(THREADS) as pool:
        for number, found in enumerate(pool.map(look, range(total), images, chunksize=64), 1):
            yield from found
            if number % 100 == 0 or number == total:
                report(Progress(f"check {split.annotations.stem}", epoch=0, epochs=1, step=number, steps=total))


def _look(folder: Path, headers: bool, chosen: set[int], index: int, image: dict[str, Any]) -> list[tuple[str, str]]:
    """Kinds and details of what is wrong with one file."""
    path = folder / image["file_name"]
    try:
        if not path.is_file():
            return [("missing image", str(path))]
        if not headers and index not in chosen:
            return []
        with Image.open(path) as picture:
            found = list(_compare(picture, path, (image["width"], image["height"])))
            if index in chosen:
                picture.draft("RGB", (1, 1))  # a JPEG is read to its end all the same, in a fraction of the time
                picture.load()
    except Exception as error:  # noqa: BLE001  (whatever a decoder makes of a damaged file is the finding)
        return [("unreadable image", f"{path}: {error}")]
    return found


def _compare(picture: Image.Image, path: Path, written: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """What the header says against the annotated (width, height)."""
    orientation = picture.getexif().get(Base.Orientation, 1)
    stored = picture.size
    shown = stored[::-1] if orientation in QUARTER_TURNS else stored
    remedy = f"{path.name} asks to be turned (EXIF orientation {orientation})"
    if written not in (stored, shown):
        size = f"{shown[0]} x {shown[1]}, the annotations say {written[0]} x {written[1]}"
        yield "wrong size", f"{path.name} is {size}"
    elif written != shown:
        yield "turned image", f"{remedy}, its boxes are not: remove the tag (exiftool -Orientation= -n FILE)"
    elif orientation not in (0, 1) and stored == shown:
        yield "perhaps turned image", f"{remedy}: make sure that its boxes are drawn on the turned picture"
