"""Both COCO engines give the same numbers, and these are COCO's."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_boxes import detections_of, truth_of

from detection.coco_eval import METRICS, RECALLS, evaluate_coco
from nas.errors import NaswildError

pytest.importorskip("hotcoco")
coco = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")


def official(truth: dict[str, Any], detections: np.ndarray, limits: tuple[int, ...] = (1, 10, 100)) -> np.ndarray:
    """pycocotools' own summary, by its own code from first to last."""
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = coco.COCO()
        annotations.dataset = truth
        annotations.createIndex()
        evaluation = cocoeval.COCOeval(annotations, annotations.loadRes(detections), "bbox")
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.array(evaluation.stats)


CASES = {
    "ordinary": {"truth": {}, "detections": {}},
    "crowds": {"truth": {"crowd": 0.6}, "detections": {}},
    "ties": {"truth": {}, "detections": {"ties": True}},
    "many detections": {"truth": {}, "detections": {"clutter": 160}},  # more than the limit of 100 an image
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_twelve_numbers_are_pycocotools_own(case: str, engine: Any) -> None:
    truth = truth_of(images=20, classes=3, boxes=9, seed=1, **CASES[case]["truth"])
    detections = detections_of(truth, seed=2, **CASES[case]["detections"])
    scores = evaluate_coco(truth, detections, engine=engine)
    assert tuple(scores.stats) == METRICS + RECALLS
    np.testing.assert_array_equal(list(scores.stats.values()), official(truth, detections))
    assert 0.001 < scores.stats["AP"] < 0.95


def test_engines_agree_on_every_point_of_every_curve() -> None:
    truth = truth_of(images=15, classes=4, boxes=8, seed=3)
    detections = detections_of(truth, seed=4, ties=True)
    fast, reference = (evaluate_coco(truth, detections, engine=engine) for engine in ("hotcoco", "pycocotools"))
    np.testing.assert_array_equal(fast.precision, reference.precision)
    assert fast.per_class == reference.per_class


@pytest.mark.parametrize("area", [32.0**2, 96.0**2])
def test_area_limits_are_inclusive_on_both_sides(area: float) -> None:
    """A box of exactly 32^2 counts as small and as medium: COCO's ranges share their limits."""
    side = area**0.5
    truth = truth_of(1, 1, 1, 0)
    truth["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [5.0, 5.0, side, side], "area": area, "iscrowd": 0}
    ]
    detections = np.array([[1, 5.0, 5.0, side, side, 0.9, 2]])
    found = {name: evaluate_coco(truth, detections, engine=name).stats for name in ("hotcoco", "pycocotools")}
    assert found["hotcoco"] == found["pycocotools"]
    names = ("APS", "APM") if side == 32 else ("APM", "APL")
    assert [found["hotcoco"][name] for name in names] == pytest.approx([1.0, 1.0])


def test_limits_of_detections_are_those_asked_for() -> None:
    truth = truth_of(images=8, classes=2, boxes=9, seed=5)
    detections = detections_of(truth, seed=6, clutter=60)
    for engine in ("hotcoco", "pycocotools"):
        scores = evaluate_coco(truth, detections, engine=engine, max_detections=(1, 5, 20))
        assert scores.stats["AR1"] <= scores.stats["AR10"] <= scores.stats["AR100"]
    whole = evaluate_coco(truth, detections, max_detections=(1, 10, 100)).stats
    assert whole["AR100"] > evaluate_coco(truth, detections, max_detections=(1, 5, 20)).stats["AR100"]


def test_no_detection_at_all_scores_zero() -> None:
    truth = truth_of(images=5, classes=2, boxes=5, seed=7, crowd=0)
    for engine in ("hotcoco", "pycocotools"):
        assert evaluate_coco(truth, np.zeros((0, 7)), engine=engine).stats["AP"] == 0.0


def test_sizes_without_ground_truth_are_minus_one() -> None:
    truth = truth_of(1, 1, 1, 0)
    truth["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
    ]
    for engine in ("hotcoco", "pycocotools"):
        stats = evaluate_coco(truth, np.array([[1, 5, 5, 20, 20, 0.9, 2]]), engine=engine).stats
        assert [stats[name] for name in ("APS", "APM", "APL")] == pytest.approx([1.0, -1.0, -1.0])


def test_only_the_categories_asked_for_count() -> None:
    truth = truth_of(images=10, classes=3, boxes=8, seed=8)
    detections = detections_of(truth, seed=9)
    chosen = [2, 8]
    for engine in ("hotcoco", "pycocotools"):
        scores = evaluate_coco(truth, detections, engine=engine, categories=chosen)
        assert scores.classes == ("class 0", "class 2")
        assert scores.stats["AP"] == pytest.approx(np.mean([scores.per_class[name]["AP"] for name in scores.classes]))


def test_curve_is_the_mean_over_classes_and_its_mean_is_the_ap() -> None:
    truth = truth_of(images=12, classes=3, boxes=8, seed=10)
    truth["categories"].append({"id": 99, "name": "never seen"})
    scores = evaluate_coco(truth, detections_of(truth, seed=11))
    assert scores.curve().mean() == pytest.approx(scores.stats["AP"])
    assert scores.curve(0.5).mean() == pytest.approx(scores.stats["AP50"])
    assert scores.curve(0.75).mean() == pytest.approx(scores.stats["AP75"])
    classes = {name: curve.mean() for name, curve in scores.class_curves(0.5).items()}
    assert classes == pytest.approx({name: scores.per_class[name]["AP50"] for name in scores.classes[:3]})


def test_a_file_and_its_content_give_the_same(tmp_path: Path) -> None:
    truth = truth_of(images=6, classes=2, boxes=6, seed=12)
    detections = detections_of(truth, seed=13)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    for engine in ("hotcoco", "pycocotools"):
        assert evaluate_coco(path, detections, engine=engine).stats == evaluate_coco(truth, detections).stats


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(NaswildError, match="hotcoco"):
        evaluate_coco({}, np.zeros((0, 7)), engine="fast")  # type: ignore[arg-type]


def test_a_process_forked_after_the_first_use_is_told_so() -> None:
    """It lacks the threads of hotcoco's pool: without the refusal it hangs."""
    truth = truth_of(images=6, classes=2, boxes=6, seed=14)
    detections = detections_of(truth, seed=15)
    expected = evaluate_coco(truth, detections).stats

    def child() -> None:
        with pytest.raises(NaswildError, match="forked"):
            evaluate_coco(truth, detections)
        assert evaluate_coco(truth, detections, engine="pycocotools").stats == expected

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    exitcode = process.exitcode
    process.kill()
    assert exitcode == 0
