"""mmdet's COCO metric with a fast engine and unrounded numbers, registered as ``FastCocoMetric``.

In a config: ``val_evaluator = dict(type='FastCocoMetric', ann_file=..., metric='bbox')``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import load
from mmengine.logging import MMLogger

from detection.annotations import read_annotations
from detection.coco_eval import MAX_DETECTIONS, CocoScores, Engine, evaluate_coco


@METRICS.register_module()
class FastCocoMetric(CocoMetric):
    """The standard twelve COCO numbers of boxes (and of masks), unrounded fractions.

    Args:
        ann_file: COCO annotations; without it the ground truth is taken from the data samples.
        metric: "bbox", "segm" or both. Keys of boxes are AP, AP50, ..., ARL; those of masks carry the prefix ``segm_``.
        proposal_nums: COCO's limits of detections per image. mmdet's own default (100, 300, 1000) is not COCO's.
        engine: "hotcoco" or "pycocotools".
        format_only: only write ``<outfile_prefix>.bbox.json`` in the form that COCO's server takes; nothing is scored.

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
        super().__init__(ann_file=None, metric=metric, proposal_nums=proposal_nums, **options)
        unsupported = set(self.metrics) - {"bbox", "segm"}
        if unsupported:
            raise KeyError(f"FastCocoMetric measures 'bbox' and 'segm', not {sorted(unsupported)}")
        self.engine = engine
        self.scores: dict[str, CocoScores] = {}
        self.detections: np.ndarray = np.zeros((0, 7))
        self._truth: dict[str, Any] | None = None
        self._given = ann_file is not None
        if ann_file is not None:
            self._truth = read_annotations(ann_file, masks="segm" in self.metrics)
            self._coco_api = True  # tells the parent's `process` that annotations need not travel with the samples

    def compute_metrics(self, results: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, float]:
        """Score (or write) what :meth:`process` collected over the data set."""
        truths, predictions = [list(part) for part in zip(*results, strict=True)]
        if self._truth is None:
            self._truth = self._truth_of_samples(truths)
        self.cat_ids = self._category_ids()
        if self.format_only:
            self.results2json(self._with_file_ids(predictions), self.outfile_prefix)
            return {}
        metrics: dict[str, float] = {}
        for name in self.metrics:
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
            )
            MMLogger.get_current_instance().info(f"{name} per class: {scores.per_class}")
            prefix = "" if name == "bbox" else f"{name}_"
            metrics.update({prefix + key: value for key, value in scores.stats.items()})
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
