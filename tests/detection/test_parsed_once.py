"""A run parses each annotation file once, by whatever route its parts ask for it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmdet")

import detection.annotations
from detection.data import CocoData, CocoSplit
from detection.recipe import DetectRecipe
from detection.train import run_detection


def test_a_run_parses_each_file_once(
    tiny_backbone: str, digits: CocoData, quick: DetectRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted at the reader, and at the json module, through which mmengine and pycocotools would go."""
    parsed: Counter[str] = Counter()
    others: list[str] = []
    read, loads = detection.annotations._read, json.loads

    def counting_read(path: Path, *, masks: bool) -> dict[str, Any]:
        parsed[path.name] += 1
        assert not masks
        return read(path, masks=masks)

    def counting_loads(text: Any, *args: Any, **options: Any) -> Any:
        content = loads(text, *args, **options)
        if isinstance(content, dict) and "annotations" in content:
            others.append(str(text)[:80])
        return content

    data = {}
    for part in ("train", "val"):  # copies, which no other test has read
        path = tmp_path / f"{part}.json"
        path.write_bytes(digits.split(part).annotations.read_bytes())
        data[part] = CocoSplit(annotations=path, images=digits.split(part).images)
    monkeypatch.setattr(detection.annotations, "_read", counting_read)
    monkeypatch.setattr(json, "loads", counting_loads)
    recipe = quick.model_copy(update={"epochs": 1, "milestones": ()})
    run_detection(tiny_backbone, CocoData(name="copy", **data), recipe, seed=0, workdir=tmp_path / "run")
    assert parsed == {"train.json": 1, "val.json": 1}
    assert others == []
    assert tmp_path / "train.json" not in detection.annotations._kept  # released when the data set was built


def test_mmdets_dataset_parses_its_file_once_with_masks(
    digits: CocoData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from detection.dataset import CocoFormatDataset

    content = json.loads(digits.val.annotations.read_text())
    for entry in content["annotations"]:
        entry["segmentation"] = [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]]
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    read, calls = detection.annotations._read, []
    monkeypatch.setattr(
        detection.annotations, "_read", lambda path, *, masks: calls.append(masks) or read(path, masks=masks)
    )
    dataset = CocoFormatDataset(ann_file=str(path), data_prefix={"img": str(digits.val.images)}, pipeline=[])
    assert calls == [True]
    assert dataset.get_data_info(0)["instances"][0]["mask"] == [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]]
