"""COCO's evaluation of boxes and masks: the standard twelve numbers, unrounded, per class too, and precision-recall.

Two engines give the same precision and recall arrays: ``hotcoco`` (a Rust implementation, the default) and
``pycocotools`` (the reference). The twelve numbers are means over these arrays, taken here for both alike.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from detection.annotations import EXACT, read_annotations
from nas.errors import NaswildError, require

Engine = Literal["hotcoco", "pycocotools"]
Truth = Mapping[str, Any] | str | Path
Detections = np.ndarray | list[dict[str, Any]]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0, 1, 101)
MAX_DETECTIONS = (1, 10, 100)
WHOLE_RANGE = (0.0, 1e10)  # of areas, in square pixels: COCO's "all"
METRICS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
RECALLS = ("AR1", "AR10", "AR100", "ARS", "ARM", "ARL")

_hotcoco_users: set[int] = (
    set()
)  # ids of the processes that used hotcoco: this one's and, if it was forked, its parents'


@dataclass(frozen=True, eq=False)
class CocoScores:
    """What one evaluation gives; every figure is a fraction of 1, and -1 where there is no ground truth to measure.

    Attributes:
        stats: the twelve numbers by name (:data:`METRICS`, then :data:`RECALLS`), in COCO's order.
        per_class: class name -> the six AP figures of that class.
        precision: (IoU thresholds, 101 recall points 0..1, classes), all areas, most detections; -1 where undefined.
        classes: class names in the order of ``precision``.
        iou_thresholds: those of ``precision``; where 0.5 or 0.75 is not among them, AP50 or AP75 is -1.
    """

    stats: dict[str, float]
    per_class: dict[str, dict[str, float]]
    precision: np.ndarray
    classes: tuple[str, ...]
    iou_thresholds: np.ndarray = field(default_factory=lambda: IOU_THRESHOLDS)

    def curve(self, iou: float | None = None) -> np.ndarray:
        """Mean precision over classes at 101 recall points, (101,): at one IoU threshold, or the mean over all."""
        chosen = self.precision if iou is None else self.precision[[int(np.argmin(abs(self.iou_thresholds - iou)))]]
        present = (chosen > -1).all(axis=(0, 1))
        return chosen[:, :, present].mean(axis=(0, 2)) if present.any() else np.zeros(chosen.shape[1])

    def class_curves(self, iou: float) -> dict[str, np.ndarray]:
        """Precision of each class that has ground truth at 101 recall points, (101,), at one IoU threshold."""
        chosen = self.precision[int(np.argmin(abs(self.iou_thresholds - iou)))]
        return {name: chosen[:, index] for index, name in enumerate(self.classes) if (chosen[:, index] > -1).all()}


def evaluate_coco(
    truth: Truth,
    detections: Detections,
    *,
    engine: Engine = "hotcoco",
    iou_type: Literal["bbox", "segm"] = "bbox",
    max_detections: Sequence[int] = MAX_DETECTIONS,
    categories: Sequence[int] | None = None,
    iou_thresholds: Sequence[float] | np.ndarray = IOU_THRESHOLDS,
) -> CocoScores:
    """Evaluate ``detections`` against COCO annotations.

    Args:
        truth: the annotation file, or its content.
        detections: (N, 7) float64 rows of image id, x, y, width, height, score, category id (boxes only); or a list in
            COCO's result format (needed for masks).
        engine: "hotcoco", or "pycocotools" for the reference; the numbers are the same. hotcoco refuses a process that
            was forked from one which had used it.
        max_detections: per image, three limits; the standard ones are 1, 10 and 100.
        categories: the category ids that count; all of ``truth`` by default.
        iou_thresholds: overlaps at which a detection matches; AP and the recalls are means over them.
    """
    thresholds = np.asarray(iou_thresholds, dtype=np.float64)
    opener, content = _opener(engine), _numbered(truth, detections, masks=iou_type == "segm")
    evaluation, annotations = opener(content, detections, iou_type, list(max_detections), categories)
    evaluation.params.iouThrs = thresholds if engine == "pycocotools" else thresholds.tolist()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = np.asarray(evaluation.eval["precision"]), np.asarray(evaluation.eval["recall"])
    classes = tuple(annotations.cats[index]["name"] for index in evaluation.params.catIds)
    return CocoScores(
        stats=_twelve(precision, recall, thresholds),
        per_class={name: _six(precision[:, :, [index]], thresholds) for index, name in enumerate(classes)},
        precision=precision[:, :, :, 0, -1],
        classes=classes,
        iou_thresholds=thresholds,
    )


def match_boxes(truth: Truth, detections: np.ndarray, *, engine: Engine = "hotcoco") -> list[dict[str, Any]]:
    """Which detections COCO's rules match with a box of the truth, at all areas: one entry per image and class.

    The entries are pycocotools' ``evalImgs``: ``image_id``, ``category_id``, ``dtScores`` (D,), ``dtMatches`` and
    ``dtIgnore`` (10 IoU thresholds, D), ``gtIgnore`` (G,). Arguments as in :func:`evaluate_coco`.
    """
    evaluation, _ = _opener(engine)(_numbered(truth, detections), detections, "bbox", list(MAX_DETECTIONS), None)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(WHOLE_RANGE)], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    return [entry for entry in evaluation.evalImgs if entry is not None]


def _numbered(truth: Truth, detections: Detections, *, masks: bool = False) -> dict[str, Any]:
    """The truth with its annotations numbered from 1: pycocotools takes a match with id 0 for none.

    The entries are copies, since pycocotools writes into what it is given.
    """
    content = dict(truth if isinstance(truth, Mapping) else read_annotations(truth, masks=masks))
    if isinstance(detections, np.ndarray) and any(image["id"] > EXACT for image in content.get("images", [])):
        raise NaswildError(
            "rows of detections cannot hold image ids above 2^53: read the truth with detection.read_annotations, "
            "which renumbers such images, or give the detections as a list in COCO's result format"
        )
    content["annotations"] = [dict(entry, id=i) for i, entry in enumerate(content.get("annotations", []), 1)]
    return content


def _opener(engine: Engine) -> Callable[..., tuple[Any, Any]]:
    openers = {"hotcoco": _open_hotcoco, "pycocotools": _open_pycocotools}
    if engine not in openers:
        raise NaswildError(f"unknown COCO engine {engine!r}: use 'hotcoco' or 'pycocotools'")
    return openers[engine]


def _open_hotcoco(
    truth: dict[str, Any], detections: Detections, iou_type: str, limits: list[int], categories: Sequence[int] | None
) -> tuple[Any, Any]:
    """An evaluation, not yet run, and its annotations."""
    hotcoco = require("hotcoco", "detection")
    _refuse_lost_threads()
    annotations = hotcoco.COCO(truth)
    evaluation = hotcoco.COCOeval(annotations, annotations.load_res(detections), iou_type)
    evaluation.params.max_dets = limits
    if categories is not None:
        evaluation.params.cat_ids = sorted(categories)
    return evaluation, annotations


def _refuse_lost_threads() -> None:
    """A forked process lacks the threads that hotcoco started before the fork: a call would hang."""
    if _hotcoco_users - {os.getpid()}:
        raise NaswildError(
            "this process was forked from one that had used hotcoco, which cannot work here: start it by spawn or "
            "forkserver, or score with engine='pycocotools'"
        )
    _hotcoco_users.add(os.getpid())


def _open_pycocotools(
    truth: dict[str, Any], detections: Detections, iou_type: str, limits: list[int], categories: Sequence[int] | None
) -> tuple[Any, Any]:
    coco = require("pycocotools.coco", "detection")
    with contextlib.redirect_stdout(io.StringIO()):  # it narrates its progress
        annotations = coco.COCO()
        annotations.dataset = truth
        annotations.createIndex()
        results = annotations.loadRes(detections) if len(detections) else _no_results(coco, annotations)
        evaluation = require("pycocotools.cocoeval", "detection").COCOeval(annotations, results, iou_type)
    evaluation.params.maxDets = limits
    if categories is not None:
        evaluation.params.catIds = sorted(categories)
    return evaluation, annotations


def _no_results(coco: Any, annotations: Any) -> Any:
    """What ``loadRes`` cannot make: a set of detections that is empty."""
    results = coco.COCO()
    results.dataset = {**annotations.dataset, "annotations": []}
    results.createIndex()
    return results


def _twelve(precision: np.ndarray, recall: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    """COCO's summary of precision (IoU, recall, class, area, limit) and recall (IoU, class, area, limit)."""
    by_limit = [_mean(recall[:, :, 0, limit]) for limit in range(3)]
    by_area = [_mean(recall[:, :, area, -1]) for area in (1, 2, 3)]
    return _six(precision, thresholds) | dict(zip(RECALLS, [*by_limit, *by_area], strict=True))


def _six(precision: np.ndarray, thresholds: np.ndarray) -> dict[str, float]:
    whole = precision[:, :, :, 0, -1]
    at = [_mean(whole[np.isclose(thresholds, iou)]) for iou in (0.5, 0.75)]
    by_area = [_mean(precision[:, :, :, area, -1]) for area in (1, 2, 3)]
    return dict(zip(METRICS, [_mean(whole), *at, *by_area], strict=True))


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0
