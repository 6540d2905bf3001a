"""A picture of ranked results: the queries that went best and worst, each with the images ranked nearest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from reid.datasets import Person, ReidData, labels_of
from reid.ranking import Gallery
from reid.score import Retrieval

SHOWN = 10  # gallery images per query
GOOD, BAD = 3, 3  # queries
CELL = (64, 128)
GAP = 8
RIGHT, WRONG, QUERY = (40, 160, 60), (200, 50, 50), (60, 60, 60)


def draw_rankings(path: Path, data: ReidData, found: Retrieval) -> Path:
    """Write the picture (PNG) and return its path.

    A row is a query (grey frame) and its :data:`SHOWN` nearest images in the order that was scored, framed green
    where the person is the same and red where not; images of the person under the query's own camera are left out.
    """
    rows = chosen_queries(found)
    height = CELL[1] + GAP
    label = 70
    sheet = Image.new("RGB", (label + (SHOWN + 1) * (CELL[0] + GAP) + 2 * GAP, len(rows) * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (query, near) in enumerate(zip(rows, nearest_images(rows, data, found), strict=True)):
        person, top = data.query[query], row * height + GAP
        score = found.ranking.queries.average_precision[query]
        draw.text((GAP, top), f"{'best' if row < len(rows) - BAD else 'worst'}\nAP {100 * score:.0f} %", fill=QUERY)
        sheet.paste(_framed(person, QUERY), (label, top))
        for place, index in enumerate(near):
            image = data.gallery[index]
            frame = RIGHT if image.identity == person.identity else WRONG
            sheet.paste(_framed(image, frame), (label + 2 * GAP + (place + 1) * (CELL[0] + GAP) - GAP, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def chosen_queries(found: Retrieval) -> list[int]:
    """The valid queries with the highest and the lowest average precision, best first."""
    scores = found.ranking.queries
    order = np.argsort(-scores.average_precision, kind="stable")
    order = order[scores.valid[order]]
    return [*order[:GOOD].tolist(), *order[GOOD:][-BAD:].tolist()]


def nearest_images(rows: list[int], data: ReidData, found: Retrieval) -> list[np.ndarray]:
    """For each query of ``rows`` the gallery indices ranked first."""
    gallery = Gallery(*labels_of(data.gallery))
    near = []
    for start, block in found.distances(rows):
        for offset, distances in enumerate(block, start):
            person = data.query[rows[offset]]
            distances[gallery.split(person.identity, person.camera)[1]] = np.inf
            order = np.argsort(distances, kind="stable")[:SHOWN]
            near.append(order[np.isfinite(distances[order])])
    return near


def _framed(person: Person, colour: tuple[int, int, int]) -> Image.Image:
    with Image.open(person.path) as image:
        inner = image.convert("RGB").resize((CELL[0] - 6, CELL[1] - 6), Image.Resampling.BILINEAR)
    return ImageOps.expand(inner, border=3, fill=colour)
