"""AP on resampled image sets is COCO's AP of a data set in which those images are written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_boxes import detections_of, truth_of

from detection.coco_eval import RECALL_POINTS, Engine, evaluate_coco
from detection.resample import METRICS, SETS, _hits_needed, draw_sets, resample_ap

pytest.importorskip("hotcoco")
pytest.importorskip("pycocotools.coco")


def written_out(truth: dict[str, Any], detections: np.ndarray, counts: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """The data set that has each image as often as ``counts`` says, every copy with an id of its own."""
    images, annotations, rows = [], [], []
    for image, count in zip(sorted(truth["images"], key=lambda image: image["id"]), counts, strict=True):
        for _ in range(count):
            new = len(images) + 1
            images.append(image | {"id": new})
            mine = [entry for entry in truth["annotations"] if entry["image_id"] == image["id"]]
            annotations += [entry | {"id": len(annotations) + 1 + k, "image_id": new} for k, entry in enumerate(mine)]
            copies = detections[detections[:, 0] == image["id"]].copy()
            copies[:, 0] = new
            rows.append(copies)
    return truth | {"images": images, "annotations": annotations}, np.concatenate(rows)


def with_ties(detections: np.ndarray) -> np.ndarray:
    """The same scores in every image, all different within one: ties between images go to the earlier one."""
    detections = detections.copy()
    for image in np.unique(detections[:, 0]):
        mine = np.flatnonzero(detections[:, 0] == image)
        detections[mine[np.argsort(-detections[mine, 5])], 5] = 1 - 0.01 * np.arange(len(mine))
    return detections


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_each_set_has_the_ap_of_the_data_set_written_out(engine: Engine, ties: bool) -> None:
    truth = truth_of(images=14, classes=4, boxes=6, seed=3, crowd=0.2)
    detections = detections_of(truth, seed=4)
    detections = with_ties(detections) if ties else detections
    found = resample_ap(truth, detections, engine=engine)
    for index in range(12):
        whole, rows = written_out(truth, detections, draw_sets(14)[index])
        stats = evaluate_coco(whole, rows, engine="pycocotools").stats
        assert {name: found.values[name][index] for name in METRICS} == pytest.approx(
            {name: stats[name] for name in METRICS}, abs=1e-12
        )


def test_the_set_of_every_image_once_has_the_score_itself() -> None:
    truth = truth_of(images=60, classes=7, boxes=9, seed=0)
    detections = detections_of(truth, seed=1)
    once = resample_ap(truth, detections, counts=np.ones((1, 60), dtype=int))
    stats = evaluate_coco(truth, detections).stats
    assert {name: values[0] for name, values in once.values.items()} == pytest.approx(
        {name: stats[name] for name in METRICS}, abs=1e-12
    )


def test_a_class_or_all_boxes_may_be_missing_from_a_set() -> None:
    truth = truth_of(images=10, classes=3, boxes=6, seed=5)
    lonely = truth["annotations"][0] | {"id": 999, "image_id": 1, "category_id": 2, "iscrowd": 0}
    others = [entry for entry in truth["annotations"] if entry["category_id"] != 2]
    truth = truth | {"annotations": [*others, lonely]}
    detections = detections_of(truth, seed=6)
    without = np.ones((1, 10), dtype=int)
    without[0, 0] = 0
    whole, rows = written_out(truth, detections, without[0])
    assert resample_ap(truth, detections, counts=without).values["AP"][0] == pytest.approx(
        evaluate_coco(whole, rows, engine="pycocotools").stats["AP"], abs=1e-12
    )
    only_empty = np.zeros((1, 10), dtype=int)
    only_empty[0, 4] = 10  # every fifth image holds nothing
    assert np.isnan(resample_ap(truth, detections, counts=only_empty).values["AP"][0])


def test_the_hits_that_a_recall_needs_are_those_that_division_and_comparison_find() -> None:
    """COCO asks whether hits / boxes >= recall: 7 of 100 reach 0.07, whose product with 100 is a little more than 7."""
    boxes = np.arange(1, 1500)
    expected = [np.searchsorted(np.arange(n + 1) / n, RECALL_POINTS) for n in boxes]
    assert np.array_equal(_hits_needed(boxes), expected)


def test_no_detections_score_zero() -> None:
    truth = truth_of(images=9, classes=2, boxes=6, seed=2)
    found = resample_ap(truth, np.zeros((0, 7)), engine="pycocotools")
    assert np.nanmax(found.values["AP"]) == 0.0


def test_sets_are_the_same_for_all_detectors_and_told_apart_by_the_number_of_images() -> None:
    truth = truth_of(images=20, classes=3, boxes=6, seed=7)
    a, b = (resample_ap(truth, detections_of(truth, seed=seed)) for seed in (8, 9))
    assert a.sets == b.sets
    assert a.values["AP"].shape == (SETS,)
    smaller = truth_of(images=19, classes=3, boxes=6, seed=7)
    assert resample_ap(smaller, detections_of(smaller, seed=8)).sets != a.sets
    assert (draw_sets(20).sum(axis=1) == 20).all()


def test_many_detections_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = truth_of(images=12, classes=2, boxes=6, seed=13)
    detections = detections_of(truth, seed=14)
    whole = resample_ap(truth, detections)
    monkeypatch.setattr("detection.resample.LARGEST", 5000)
    parts = resample_ap(truth, detections)
    assert all(np.array_equal(whole.values[name], parts.values[name]) for name in METRICS)
