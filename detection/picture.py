"""Detections beside ground truth, image by image, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from detection.data import CocoSplit
from nas.files import atomic_write

HEIGHT = 256  # pixels of one panel
GAP = 4


def draw_comparison(
    split: CocoSplit,
    detections: np.ndarray,
    path: str | Path,
    *,
    images: Sequence[int] | None = None,
    count: int = 8,
    least_score: float = 0.3,
) -> Path:
    """Write a PNG with pairs of panels: left the ground truth, right the detections with a score of ``least_score`` up.

    Args:
        split: the part of the data set that was predicted.
        detections: (N, 7) rows of image id, x, y, width, height, score, category id.
        images: ids of the images to show; by default ``count`` of them, evenly spaced over the part.
    """
    content = split.read()
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    entries = {image["id"]: image for image in content["images"]}
    chosen = list(images) if images is not None else _evenly(list(entries), count)
    pairs = []
    for identity in chosen:
        truth = [(a["bbox"], names[a["category_id"]]) for a in content["annotations"] if a["image_id"] == identity]
        found = detections[(detections[:, 0] == identity) & (detections[:, 5] >= least_score)]
        shown = [(row[1:5], f"{names[int(row[6])]} {row[5]:.2f}") for row in found[np.argsort(found[:, 5])]]
        picture = split.images / entries[identity]["file_name"]
        pairs.append((_panel(picture, truth, (40, 200, 80)), _panel(picture, shown, (240, 70, 50))))
    buffer = io.BytesIO()
    _grid(pairs).save(buffer, "PNG")
    atomic_write(path, buffer.getvalue())
    return Path(path)


def _evenly(items: list[Any], count: int) -> list[Any]:
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _panel(path: Path, boxes: Iterable[tuple[Sequence[float], str]], colour: tuple[int, int, int]) -> Image.Image:
    """One image scaled to :data:`HEIGHT` with labelled boxes (x, y, width, height in its own pixels)."""
    with Image.open(path) as file:
        factor = HEIGHT / file.height
        image = file.convert("RGB").resize((max(1, round(file.width * factor)), HEIGHT))
    draw = ImageDraw.Draw(image)
    for (x, y, width, height), text in boxes:
        x, y, width, height = (float(value) * factor for value in (x, y, width, height))
        draw.rectangle((x, y, x + width, y + height), outline=colour, width=2)
        left, top, right, bottom = draw.textbbox((x + 2, max(0, y - 11)), text)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=colour)
        draw.text((x + 2, max(0, y - 11)), text, fill=(255, 255, 255))
    return image


def _grid(pairs: list[tuple[Image.Image, Image.Image]]) -> Image.Image:
    """Two pairs a row."""
    widths = [left.width + right.width + 3 * GAP for left, right in pairs] or [1]
    column = max(widths)
    rows = (len(pairs) + 1) // 2
    canvas = Image.new("RGB", (column * min(2, max(len(pairs), 1)), max(1, rows) * (HEIGHT + GAP)), "white")
    for index, (left, right) in enumerate(pairs):
        x, y = (index % 2) * column, (index // 2) * (HEIGHT + GAP)
        canvas.paste(left, (x, y))
        canvas.paste(right, (x + left.width + GAP, y))
    return canvas
