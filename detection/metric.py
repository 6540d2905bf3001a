"""mmdet's COCO metric with a fast engine and unrounded numbers, registered as ``FastCocoMetric``.

In a config: ``val_evaluator = dict(type='FastCocoMetric', ann_file=..., metric='bbox')``. Options and keys are those of
mmdet's ``CocoMetric``: ``save_best="coco/bbox_mAP"`` works.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import load
from mmengine.logging import MMLogger

from detection import coco_eval
from detection.annotations import read_annotations
from detection.coco_eval import MAX_DETECTIONS, CocoScores, Engine, evaluate_coco


@METRICS.register_module()
class FastCocoMetric(CocoMetric):
    """COCO's numbers of boxes (and of masks) under the keys of mmdet's ``CocoMetric``, as unrounded fractions.

    Args:
        ann_file: COCO annotations; without it the ground truth is taken from the data samples.
        metric: "bbox", "segm" or both; the keys begin with it: ``bbox_mAP``, ``segm_mAP_50``, ...
        classwise: give AP of each class too, as ``<class>_precision``; NaN without ground truth.
        proposal_nums: COCO's limits of detections per image, which are in the names of the recalls, ``AR@100`` and
            ``AR_s@100``. mmdet's own default (100, 300, 1000) is not COCO's. Precision counts up to the largest.
        iou_thrs: IoU thresholds; by default 0.5 to 0.95.
        metric_items: which numbers to give, e.g. ``["mAP", "AR@100"]``; by default the six of mAP.
        format_only: only write the result files in the form that COCO's server takes; nothing is scored.
        outfile_prefix: where to keep the result files, ``<outfile_prefix>.bbox.json``; by default they are not kept.
        engine: "hotcoco" or "pycocotools".
        options: the rest of mmdet's: ``collect_device``, ``prefix``, ``backend_args``, ``sort_categories``.
            ``use_mp_eval`` is accepted and without effect: neither engine needs it.

    After an evaluation ``scores`` holds the :class:`~detection.coco_eval.CocoScores` of each metric and ``detections``
    the boxes as (N, 7) rows of image id, x, y, width, height, score, category id (on the main process).
    """

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | list[str] = "bbox",
        proposal_nums: Sequence[int] = MAX_DETECTIONS,
        engine: Engine = "hotcoco",
        **options: Any,
    ) -> None:
        super().__init__(ann_file=None, metric=metric, proposal_nums=sorted(proposal_nums), **options)
        unsupported = set(self.metrics) - {"bbox", "segm"}
        if unsupported:
            raise KeyError(f"FastCocoMetric measures 'bbox' and 'segm', not {sorted(unsupported)}")
        self.engine = engine
        self._items = _items(self.proposal_nums)
        for item in self.metric_items or ():
            if item not in self._items:
                raise KeyError(
                    f"metric item {item!r} is unknown; with proposal_nums {self.proposal_nums}: {list(self._items)}"
                )
        self.scores: dict[str, CocoScores] = {}
        self.detections: np.ndarray = np.zeros((0, 7))
        self._truth: dict[str, Any] | None = None
        self._given = ann_file is not None
        if ann_file is not None:
            self._truth = dict(read_annotations(ann_file, masks="segm" in self.metrics))
            if options.get("sort_categories"):
                self._truth["categories"] = sorted(self._truth["categories"], key=lambda category: category["id"])
            self._coco_api = True  # tells the parent's `process` that annotations need not travel with the samples

    def compute_metrics(self, results: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float]:
        """Score (or write) what :meth:`process` collected over the data set."""
        truths, predictions = [list(part) for part in zip(*results, strict=True)]
        if self._truth is None:
            self._truth = self._truth_of_samples(truths)
        self.cat_ids = self._category_ids()
        if self.outfile_prefix is not None:
            self.results2json(self._with_file_ids(predictions), self.outfile_prefix)
        if self.format_only:
            return {}
        metrics: dict[str, float] = {}
        for name in self.metrics:
            metrics.update(self._score(name, predictions))
        return metrics

    def _score(self, name: Literal["bbox", "segm"], predictions: list[dict[str, Any]]) -> dict[str, float]:
        """The numbers of boxes or of masks under mmdet's keys."""
        assert self._truth is not None
        detections = self._boxes(predictions) if name == "bbox" else self._masks(predictions)
        if isinstance(detections, np.ndarray):
            self.detections = detections
        self.scores[name] = scores = evaluate_coco(
            self._truth,
            detections,
            engine=self.engine,
            iou_type=name,
            max_detections=self.proposal_nums,
            categories=self.cat_ids,
            iou_thresholds=np.atleast_1d(self.iou_thrs),
        )
        MMLogger.get_current_instance().info(f"{name} per class: {scores.per_class}")
        shown = self.metric_items or list(self._items)[: len(coco_eval.METRICS)]
        metrics = {f"{name}_{item}": scores.stats[self._items[item]] for item in shown}
        if self.classwise:
            by_class = {f"{label}_precision": stats["AP"] for label, stats in scores.per_class.items()}
            metrics |= {key: value if value >= 0 else float("nan") for key, value in by_class.items()}
        return metrics

    def _category_ids(self) -> list[int]:
        """The category id of each label: the data set's own word, or mmdet's rule, which is the order of the file."""
        assert self._truth is not None
        if "category_ids" in self.dataset_meta and self._given:
            return list(self.dataset_meta["category_ids"])
        wanted = set(self.dataset_meta["classes"])
        return [category["id"] for category in self._truth["categories"] if category["name"] in wanted]

    def _boxes(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        """Detections as (N, 7) rows; the side lengths are taken in float64, as the JSON route does."""
        categories = np.asarray(self.cat_ids, dtype=np.float64)
        renumbered = self._renumbered_images()
        rows = []
        for prediction in predictions:
            identity = renumbered.get(prediction["img_id"], prediction["img_id"])
            corners = prediction["bboxes"].astype(np.float64).reshape(-1, 4)
            image = np.full(len(corners), identity, dtype=np.float64)
            score = prediction["scores"].astype(np.float64)
            label = categories[prediction["labels"].astype(np.int64)]
            rows.append(
                np.column_stack([image, corners[:, :2], corners[:, 2:] - corners[:, :2], score, label]).reshape(-1, 7)
            )
        return np.concatenate(rows)

    def _with_file_ids(self, predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        of_file = {here: identity for identity, here in self._renumbered_images().items()}
        return [{**entry, "img_id": of_file.get(entry["img_id"], entry["img_id"])} for entry in predictions]

    def _renumbered_images(self) -> dict[int, int]:
        """The id that an image has here by its id in the file, where these differ: see ``read_annotations``."""
        assert self._truth is not None
        pairs = ((image.get("file_id", image["id"]), image["id"]) for image in self._truth["images"])
        return {of_file: here for of_file, here in pairs if of_file != here}

    def _masks(self, predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Detections in COCO's result format without boxes, so that the mask's area decides small, medium and large."""
        with TemporaryDirectory() as folder:
            files = self.results2json(predictions, str(Path(folder) / "results"))
            detections = load(files["segm"])
        return [{key: value for key, value in entry.items() if key != "bbox"} for entry in detections]

    def _truth_of_samples(self, truths: list[dict[str, Any]]) -> dict[str, Any]:
        with TemporaryDirectory() as folder:
            return load(self.gt_to_coco_json(truths, str(Path(folder) / "truth")))


def _items(limits: Sequence[int]) -> dict[str, str]:
    """mmdet's name of each of COCO's twelve numbers -> its name in :class:`~detection.coco_eval.CocoScores`."""
    precisions = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
    recalls = [f"AR@{limit}" for limit in limits] + [f"AR_{size}@{limits[-1]}" for size in "sml"]
    return dict(zip((*precisions, *recalls), (*coco_eval.METRICS, *coco_eval.RECALLS), strict=True))
