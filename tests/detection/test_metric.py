"""FastCocoMetric in mmdet's evaluator: the same numbers as the plain evaluation of the same detections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")

from detection.coco_eval import evaluate_coco
from detection.metric import FastCocoMetric

TRUTH: dict[str, Any] = {
    "images": [{"id": i, "width": 100, "height": 100, "file_name": f"{i}.png"} for i in (3, 4)],
    "categories": [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 3, "category_id": 5, "bbox": [10.0, 10.0, 30.0, 40.0], "area": 1200.0, "iscrowd": 0},
        {"id": 2, "image_id": 4, "category_id": 9, "bbox": [50.0, 20.0, 20.0, 20.0], "area": 400.0, "iscrowd": 0},
        {"id": 3, "image_id": 4, "category_id": 5, "bbox": [0.0, 0.0, 99.0, 99.0], "area": 9801.0, "iscrowd": 0},
    ],
}
PRECISIONS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
BOXES = {
    3: ([[11.0, 9.5, 41.3, 50.1], [60.0, 60.0, 70.0, 75.0]], [0.9, 0.3], [0, 1]),
    4: ([[50.2, 20.1, 69.7, 40.9], [1.0, 2.0, 97.0, 99.5]], [0.8, 0.7], [1, 0]),
}


def feed(metric: FastCocoMetric) -> dict[str, float]:
    metric.dataset_meta = {"classes": ("cat", "dog")}
    for image, (boxes, scores, labels) in BOXES.items():
        found = {"bboxes": torch.tensor(boxes), "scores": torch.tensor(scores), "labels": torch.tensor(labels)}
        metric.process({}, [{"pred_instances": found, "img_id": image, "ori_shape": (100, 100), "instances": []}])
    return metric.evaluate(2)


@pytest.fixture
def truth(tmp_path: Path) -> str:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(TRUTH))
    return str(path)


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_numbers_are_those_of_the_plain_evaluation(truth: str, engine: Any) -> None:
    rows = [
        [image, *box[:2], box[2] - box[0], box[3] - box[1], score, (5, 9)[label]]
        for image, (boxes, scores, labels) in BOXES.items()
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]
    metric = FastCocoMetric(ann_file=truth, engine=engine)
    metrics = feed(metric)
    np.testing.assert_allclose(metric.detections, rows, rtol=1e-5)
    expected = evaluate_coco(TRUTH, metric.detections).stats
    assert list(metrics) == [f"coco/bbox_{name}" for name in PRECISIONS]
    assert list(metrics.values()) == list(expected.values())[:6]
    assert 0.3 < metrics["coco/bbox_mAP"] < 1.0


def test_numbers_are_not_rounded(truth: str) -> None:
    content = dict(
        TRUTH, annotations=TRUTH["annotations"] + [dict(TRUTH["annotations"][0], id=4, bbox=[70.0, 70, 9, 9])]
    )
    Path(truth).write_text(json.dumps(content))
    value = feed(FastCocoMetric(ann_file=truth))["coco/bbox_mAP"]
    assert abs(value - round(value, 3)) > 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"classwise": True},
        {"metric_items": ["mAP_50", "mAP_l"]},
        {"iou_thrs": [0.5, 0.6, 0.75]},
        {"iou_thrs": [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8], "metric_items": ["mAP", "mAP_75", "mAP_m"]},
        {"proposal_nums": (100, 1, 10)},
        {"proposal_nums": (100, 300, 1000), "metric_items": ["mAP", "mAP_50", "AR@100", "AR@1000", "AR_s@1000"]},
        {"prefix": "mine"},
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_keys_and_numbers_are_those_of_mmdets_own_metric(truth: str, options: dict[str, Any], engine: Any) -> None:
    """To its three digits."""
    from mmdet.evaluation import CocoMetric

    options = options | ({"iou_thrs": np.array(options["iou_thrs"])} if "iou_thrs" in options else {})  # they need one
    theirs = feed(CocoMetric(ann_file=truth, **{"proposal_nums": (1, 10, 100), **options}))
    ours = feed(FastCocoMetric(ann_file=truth, engine=engine, **options))
    assert set(ours) == set(theirs)
    assert ours == {key: pytest.approx(value, abs=5.1e-4, nan_ok=True) for key, value in theirs.items()}


def test_one_threshold_is_a_list_of_one(truth: str) -> None:
    metrics = feed(FastCocoMetric(ann_file=truth, iou_thrs=0.75))
    assert metrics["coco/bbox_mAP"] == metrics["coco/bbox_mAP_75"] > 0
    assert metrics["coco/bbox_mAP_50"] == -1.0


def test_unknown_items_are_refused_with_the_known_ones(truth: str) -> None:
    with pytest.raises(KeyError, match=r"AR@1000.*AR_l@100"):
        FastCocoMetric(ann_file=truth, metric_items=["AR@1000"])


def test_result_files_are_kept_where_they_are_asked_for(truth: str, tmp_path: Path) -> None:
    metrics = feed(FastCocoMetric(ann_file=truth, outfile_prefix=str(tmp_path / "kept")))
    assert metrics["coco/bbox_mAP"] > 0
    entries = json.loads((tmp_path / "kept.bbox.json").read_text())
    assert [entry["image_id"] for entry in entries] == [3, 3, 4, 4]


def test_per_class_figures_are_kept(truth: str) -> None:
    metric = FastCocoMetric(ann_file=truth)
    feed(metric)
    per_class = metric.scores["bbox"].per_class
    assert list(per_class) == ["cat", "dog"]
    assert per_class["dog"]["APS"] > 0
    assert per_class["cat"]["APS"] == -1.0


def test_format_only_writes_cocos_result_file(truth: str, tmp_path: Path) -> None:
    metric = FastCocoMetric(ann_file=truth, format_only=True, outfile_prefix=str(tmp_path / "results"))
    assert feed(metric) == {}
    entries = json.loads((tmp_path / "results.bbox.json").read_text())
    assert len(entries) == 4
    assert set(entries[0]) == {"image_id", "category_id", "bbox", "score"}
    assert entries[0]["category_id"] == 5
    assert entries[0]["bbox"] == pytest.approx([11.0, 9.5, 30.3, 40.6], abs=1e-4)


def test_unknown_metrics_are_refused(truth: str) -> None:
    with pytest.raises(KeyError, match="proposal"):
        FastCocoMetric(ann_file=truth, metric="proposal")
