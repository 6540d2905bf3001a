"""Detections beside ground truth, image by image, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from detection.data import CocoSplit
from detection.fonts import font_file
from nas.files import atomic_write

WIDTH = 1600  # pixels of the picture
ROW = 2  # pairs side by side
GAP = 4
FONT_SIZE = 11
LEGEND = 22  # pixels of one of its lines
GREEN, RED, BLACK, WHITE = (20, 140, 50), (220, 50, 30), (0, 0, 0), (255, 255, 255)

Boxes = Sequence[tuple[Sequence[float], str]]  # x, y, width, height in the image's own pixels; label


@dataclass(frozen=True)
class _Panel:
    """An image file, its proportions, and what is drawn on it."""

    path: Path
    ratio: float  # width over height
    boxes: Boxes
    colour: tuple[int, int, int]


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

    A category whose name no font here can show is labelled by its id, and the picture says so.

    Args:
        split: the part of the data set that was predicted.
        detections: (N, 7) rows of image id, x, y, width, height, score, category id.
        images: ids of the images to show; by default ``count`` of them, evenly spaced over the part.
    """
    content = split.read()
    labels, unnamed = _labels({category["id"]: str(category["name"]) for category in content["categories"]})
    entries = {image["id"]: image for image in content["images"]}
    panels: list[_Panel] = []
    for identity in list(images) if images is not None else _evenly(list(entries), count):
        truth = [(a["bbox"], labels[a["category_id"]]) for a in content["annotations"] if a["image_id"] == identity]
        found = detections[(detections[:, 0] == identity) & (detections[:, 5] >= least_score)]
        shown = [(row[1:5], f"{labels[int(row[6])]} {row[5]:.2f}") for row in found[np.argsort(found[:, 5])]]
        file = split.images / entries[identity]["file_name"]
        with Image.open(file) as image:
            ratio = image.width / image.height
        panels += [_Panel(file, ratio, truth, GREEN), _Panel(file, ratio, shown, RED)]
    legend = [("green: ground truth", GREEN), (f"red: detections with a score of {least_score:g} or more", RED)]
    note = "#: id of a category whose name no font of this machine can show" if unnamed else ""
    buffer = io.BytesIO()
    _compose(panels, [*legend, (note, BLACK)]).save(buffer, "PNG")
    atomic_write(path, buffer.getvalue())
    return Path(path)


def _labels(names: Mapping[int, str]) -> tuple[dict[int, str], bool]:
    """What to write for each category, and whether for any that is its id in the place of its name."""
    labels = {identity: name if font_file(name) else f"#{identity}" for identity, name in names.items()}
    return labels, labels != dict(names)


def _evenly(items: list[Any], count: int) -> list[Any]:
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def _compose(panels: Sequence[_Panel], legend: Iterable[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    """The legend, and below it rows of :data:`ROW` pairs, each row as high as fills the width."""
    rows = [panels[start : start + 2 * ROW] for start in range(0, len(panels), 2 * ROW)]
    heights = [_row_height(row) for row in rows]
    canvas = Image.new("RGB", (WIDTH, LEGEND + sum(heights) + GAP * len(rows)), "white")
    draw, x = ImageDraw.Draw(canvas), GAP
    for text, colour in legend:
        draw.text((x, GAP), text, fill=colour, font=_font(text, 14))
        x += round(draw.textlength(text, _font(text, 14))) + 8 * GAP
    y = LEGEND
    for row, height in zip(rows, heights, strict=True):
        _paste_row(canvas, row, y, height)
        y += height + GAP
    return canvas


def _row_height(row: Sequence[_Panel]) -> int:
    inner = WIDTH - GAP * (len(row) + 1)
    return max(1, round(inner / sum(panel.ratio for panel in row)))


def _paste_row(canvas: Image.Image, row: Sequence[_Panel], y: int, height: int) -> None:
    x = GAP
    for index, panel in enumerate(row):
        last = index == len(row) - 1
        width = WIDTH - GAP - x if last else max(1, round(height * panel.ratio))  # the last takes what rounding left
        canvas.paste(_draw(panel, width, height), (x, y))
        x += width + GAP


def _draw(panel: _Panel, width: int, height: int) -> Image.Image:
    """The image at this size with its labelled boxes."""
    with Image.open(panel.path) as file:
        across, down = width / file.width, height / file.height
        image = file.convert("RGB").resize((width, height))
    draw = ImageDraw.Draw(image)
    for (x, y, w, h), text in panel.boxes:
        left, top = float(x) * across, float(y) * down
        draw.rectangle((left, top, left + float(w) * across, top + float(h) * down), outline=panel.colour, width=2)
        place, font = (left + 2, max(0.0, top - FONT_SIZE)), _font(text, FONT_SIZE)
        x1, y1, x2, y2 = draw.textbbox(place, text, font)
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), fill=panel.colour)
        draw.text(place, text, fill=WHITE, font=font)
    return image


def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    path = font_file(text)
    assert path is not None  # labels are made of characters that have a font
    return ImageFont.truetype(path, size)
