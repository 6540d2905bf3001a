"""The chance level: high where guessing is easy, near zero where it is not, and blind to the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.chance import BOXES_PER_IMAGE, chance_level, draw_boxes, training_boxes
from detection.data import CocoData

pytest.importorskip("hotcoco")


def write(root: Path, boxes: dict[str, list[list[float]]], names: dict[str, list[str]]) -> CocoData:
    for part in ("train", "val"):
        content: dict[str, Any] = {
            "images": [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 50} for i in range(1, 5)],
            "categories": [{"id": 10 * i, "name": name} for i, name in enumerate(names[part], 1)],
            "annotations": [],
        }
        for image in range(1, 5):
            for box in boxes[part]:
                area = box[2] * box[3]
                entry = {"id": len(content["annotations"]) + 1, "image_id": image, "category_id": 10, "iscrowd": 0}
                content["annotations"].append(entry | {"bbox": box, "area": area})
        (root / "annotations").mkdir(exist_ok=True, parents=True)
        (root / part).mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
    return CocoData.open(root)


def test_always_the_same_box_is_guessed(tmp_path: Path) -> None:
    box = [[10.0, 10.0, 30.0, 20.0]]
    data = write(tmp_path, {"train": box, "val": box}, {"train": ["thing"], "val": ["thing"]})
    level = chance_level(data)
    assert level["AP50"] > 0.5
    assert level["AP50"] == pytest.approx(level["AP75"])
    assert level["APL"] == -1.0


def test_boxes_elsewhere_are_not_guessed(tmp_path: Path) -> None:
    boxes = {"train": [[0.0, 0.0, 10.0, 10.0]], "val": [[60.0, 30.0, 10.0, 10.0]]}
    assert chance_level(write(tmp_path, boxes, {"train": ["thing"], "val": ["thing"]}))["AP"] == 0.0


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    box = [[10.0, 10.0, 30.0, 20.0]]
    data = write(tmp_path, {"train": box, "val": box}, {"train": ["a", "b"], "val": ["b", "a"]})
    assert set(training_boxes(data.train.read(), data.val.read())[:, 4]) == {20.0}


def test_drawn_boxes_fit_their_image(digits: CocoData) -> None:
    rows = training_boxes(digits.train.read(), digits.val.read())
    assert rows[:, :4].max() <= 1.0
    images = [{"id": 7, "width": 1000, "height": 10}]
    drawn = draw_boxes(rows, images, np.random.default_rng(0))
    assert drawn.shape == (BOXES_PER_IMAGE, 7)
    assert (drawn[:, 1] + drawn[:, 3]).max() <= 1000
    assert (drawn[:, 2] + drawn[:, 4]).max() <= 10


def test_chance_on_digits_is_low_and_repeatable(digits: CocoData) -> None:
    level = chance_level(digits, seed=1)
    assert level == chance_level(digits, seed=1)
    assert level != chance_level(digits, seed=2)
    assert 0 <= level["AP50"] < 0.05
