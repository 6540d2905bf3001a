"""What a detector that looks at no image would score: the baseline every AP is to be read against.

The baseline knows the training set's statistics. For each image it draws boxes (class, place and size relative to the
image, jointly) from the training annotations with replacement, and scores at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from detection.coco_eval import METRICS, Engine, evaluate_coco
from detection.data import CocoData
from nas.seeding import derive_seed

BOXES_PER_IMAGE = 100  # as many as COCO scores
DRAWS = 3  # the result is their mean


def chance_level(data: CocoData, *, split: str = "val", seed: int = 0, engine: Engine = "hotcoco") -> dict[str, float]:
    """Mean of the six AP figures over :data:`DRAWS` sets of random boxes on the part ``split``; -1 where undefined."""
    truth = data.split(split).read()
    return score_boxes(training_boxes(data.train.read(), truth), truth, seed=seed, engine=engine)


def score_boxes(rows: np.ndarray, truth: dict[str, Any], *, seed: int, engine: Engine = "hotcoco") -> dict[str, float]:
    """The same from the boxes to draw, as :func:`training_boxes` gives them, so that no annotations need be held."""
    figures = []
    for draw in range(DRAWS):
        rng = np.random.default_rng(derive_seed(seed, "chance", draw))
        stats = evaluate_coco(truth, draw_boxes(rows, truth["images"], rng), engine=engine).stats
        figures.append([stats[name] for name in METRICS])
    return dict(zip(METRICS, np.mean(figures, axis=0).tolist(), strict=True))


def training_boxes(train: Mapping[str, Any], truth: Mapping[str, Any]) -> np.ndarray:
    """(N, 5): x, y, width, height as fractions of their image, and the id that ``truth`` has for the category."""
    names = {category["id"]: category["name"] for category in train["categories"]}
    identity = {category["name"]: category["id"] for category in truth["categories"]}
    sizes = {image["id"]: (image["width"], image["height"]) for image in train["images"]}
    rows = []
    for entry in train["annotations"]:
        if not entry.get("iscrowd") and names[entry["category_id"]] in identity:
            width, height = sizes[entry["image_id"]]
            x, y, w, h = entry["bbox"]
            rows.append([x / width, y / height, w / width, h / height, identity[names[entry["category_id"]]]])
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def draw_boxes(rows: np.ndarray, images: list[dict[str, Any]], rng: np.random.Generator) -> np.ndarray:
    """Detections (images * BOXES_PER_IMAGE, 7) drawn from ``rows``, scaled to each image, with uniform scores."""
    if not len(rows):
        return np.zeros((0, 7))
    parts = []
    for image in images:
        chosen = rows[rng.integers(len(rows), size=BOXES_PER_IMAGE)]
        boxes = chosen[:, :4] * [image["width"], image["height"], image["width"], image["height"]]
        identity = np.full((BOXES_PER_IMAGE, 1), image["id"])
        parts.append(np.hstack([identity, boxes, rng.random((BOXES_PER_IMAGE, 1)), chosen[:, 4:]]))
    return np.concatenate(parts)
