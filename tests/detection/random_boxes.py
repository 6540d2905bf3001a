"""Random ground truth in COCO's format, and detections that are more or less right about it."""

from __future__ import annotations

from typing import Any

import numpy as np


def truth_of(images: int, classes: int, boxes: int, seed: int, crowd: float = 0.1) -> dict[str, Any]:
    """Random ground truth over the three area ranges, with crowds and with images that hold nothing."""
    rng = np.random.default_rng(seed)
    annotations = []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, boxes) if image % 5 else 0):
            width, height = np.exp(rng.uniform(np.log(6), np.log(220), 2))
            box = [*rng.uniform(0, 400, 2).round(2), width.round(2), height.round(2)]
            entry = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": int(rng.integers(classes)) * 3 + 2,  # ids with gaps, as COCO's
                "bbox": [float(v) for v in box],
                "area": float(box[2] * box[3] * rng.uniform(0.4, 1.0)),  # an area smaller than the box, as of a mask
                "iscrowd": int(rng.random() < crowd),
            }
            annotations.append(entry)
    return {
        "images": [{"id": i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(1, images + 1)],
        "categories": [{"id": 3 * c + 2, "name": f"class {c}"} for c in range(classes)],
        "annotations": annotations,
    }


def detections_of(truth: dict[str, Any], seed: int, ties: bool = False, clutter: int = 10) -> np.ndarray:
    """Shifted copies of the ground truth, some of another class, and clutter; with ``ties`` only three scores."""
    rng = np.random.default_rng(seed)
    categories = [c["id"] for c in truth["categories"]]
    rows = []
    for entry in truth["annotations"]:
        for _ in range(rng.integers(0, 4)):
            x, y, width, height = entry["bbox"]
            shift = rng.normal(0, 0.12, 4) * [width, height, width, height]
            label = entry["category_id"] if rng.random() < 0.8 else rng.choice(categories)
            rows.append(
                [entry["image_id"], x + shift[0], y + shift[1], width + abs(shift[2]), height + abs(shift[3]), 0, label]
            )
    for image in truth["images"]:
        for _ in range(clutter):
            rows.append([image["id"], *rng.uniform(0, 400, 2), *rng.uniform(4, 150, 2), 0, rng.choice(categories)])
    result = np.array(rows, dtype=np.float64).reshape(-1, 7)
    result[:, 5] = rng.choice([0.2, 0.5, 0.9], len(result)) if ties else rng.random(len(result))
    return result[rng.permutation(len(result))]
