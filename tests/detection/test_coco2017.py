"""COCO's own parts are told from other data in its format by what the annotation files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

import detection.data
from detection.data import CocoData, is_coco2017

NAMES = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]  # position = id in COCO


def content(images: int, boxes: int) -> dict[str, Any]:
    """A file of COCO's categories with this number of images and boxes."""
    categories = {i: name for i, name in enumerate(NAMES) if name not in ("__background__", "N/A")}
    return {
        "images": [{"id": i + 1, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(images)],
        "annotations": [
            {"id": i + 1, "image_id": 1 + i % images, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
            for i in range(boxes)
        ],
        "categories": [{"id": i, "name": name} for i, name in categories.items()],
    }


def test_val2017_has_5000_images_36781_boxes_and_80_categories_up_to_id_90() -> None:
    real = content(5_000, 36_781)
    assert len(real["categories"]) == 80
    assert real["categories"][-1] == {"id": 90, "name": "toothbrush"}
    assert is_coco2017(real, "val")
    assert not is_coco2017(real, "train")
    assert not is_coco2017(content(4_999, 36_781), "val")
    assert not is_coco2017(content(5_000, 36_780), "val")
    real["categories"][0]["name"] = "digit"
    assert not is_coco2017(real, "val")


def test_both_parts_count_whatever_the_folder_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection.data, "_COCO2017", {"train": (7, 9), "val": (3, 4)})
    for name, images in (("street", 7), ("coco", 6)):
        folder = tmp_path / name / "annotations"
        folder.mkdir(parents=True)
        (tmp_path / name / "images").mkdir()
        for part, sizes in (("train", (images, 9)), ("val", (3, 4))):
            (folder / f"instances_{part}.json").write_text(json.dumps(content(*sizes)))
    assert CocoData.open(tmp_path / "street").is_coco2017
    assert not CocoData.open(tmp_path / "coco").is_coco2017
