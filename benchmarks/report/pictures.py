"""Pictures that jobs left behind, embedded in the page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from benchmarks.store import Result
from benchmarks.tables.keys import Point, Task
from benchmarks.tables.measurements import Measurements

SUFFIXES = {".png", ".jpg", ".jpeg"}
LARGEST_SIDE = 1400  # pixels; larger pictures are shrunk
MOST_PICTURES = 24  # of each kind of task; a large suite would make a page of hundreds of megabytes


@dataclass(frozen=True)
class Picture:
    """An image as a data URL, with what it shows and whose it is."""

    source: str
    caption: str
    name: str


def pictures(run_dir: Path, measured: Measurements, kind: str) -> Iterator[Picture]:
    """The pictures among the artifacts of one kind of task, first seeds first; a file that is gone is left out."""
    shown = 0
    for result in _in_order(measured, kind):
        for what, relative in sorted(result.artifacts.items()):
            path = run_dir / relative
            if path.suffix.lower() in SUFFIXES and path.is_file() and shown < MOST_PICTURES:
                shown += 1
                name = measured.label(Point.of(result))
                caption = f"{Task.of(result).title}: {name}" + ("" if what == "picture" else f" ({what})")
                yield Picture(embed(path), caption, name)


def _in_order(measured: Measurements, kind: str) -> list[Result]:
    found = [result for result in measured.results if result.kind == kind]
    return sorted(found, key=lambda r: (r.seed, r.task, sorted(r.variant.items()), r.backbone.name))


def embed(path: Path) -> str:
    """The image file as a data URL: shrunk to :data:`LARGEST_SIDE`, and as JPEG where that is smaller than the file.

    The pictures are sheets of photographs; as PNG those of the mini suite alone would make a page of 32 MB.
    """
    content = path.read_bytes()
    with Image.open(BytesIO(content)) as image:
        fits = max(image.size) <= LARGEST_SIDE
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        buffer = BytesIO()
        image.convert("RGB").save(buffer, format="JPEG", quality=82)
    kind = "png" if path.suffix.lower() == ".png" else "jpeg"
    if not fits or len(buffer.getvalue()) < len(content):
        kind, content = "jpeg", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
