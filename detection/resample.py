"""AP on image sets drawn with replacement from the evaluated one: what the bootstrap of a detector's score needs.

AP is not a mean over images, so single images have no scores to resample afterwards. Here every set is scored
by COCO's definition, from matches that are made once. All detectors that are scored on the same images get the same
sets, so that the differences between two of them, set by set, are their paired bootstrap.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.coco_eval import IOU_THRESHOLDS, RECALL_POINTS, Engine, match_boxes

SETS = 1000
LARGEST = 16_000_000  # entries of a (sets, detections) array that are held at once
METRICS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}  # which of the ten IoU thresholds each takes


@dataclass(frozen=True, eq=False)
class ResampledAP:
    """AP, AP50 and AP75 (by name, each (sets,)) on sets of ``images`` images; nan for a set without any box.

    ``sets`` tells the drawn sets apart: results are pairs only where it is the same.
    """

    images: int
    sets: int
    values: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class _Class:
    """All detections of one class, best first: their image (D,), matched and counted (10, D); boxes an image (n,)."""

    image: np.ndarray
    matched: np.ndarray
    counted: np.ndarray
    boxes: np.ndarray


def draw_sets(images: int, sets: int = SETS) -> np.ndarray:
    """How often each image is in each set, (sets, images); the same numbers whenever it is called."""
    draws = np.random.default_rng(0).integers(images, size=(sets, images))
    counts = np.zeros((sets, images), dtype=np.int32)
    np.add.at(counts, (np.arange(sets)[:, None], draws), 1)
    return counts


def resample_ap(
    truth: dict[str, Any], detections: np.ndarray, *, engine: Engine = "hotcoco", counts: np.ndarray | None = None
) -> ResampledAP:
    """Score ``detections`` on every set of images.

    Args:
        truth: COCO annotations.
        detections: (N, 7) rows of image id, x, y, width, height, score, category id.
        counts: (sets, images) how often a set has each image, in the order of image ids; by default :func:`draw_sets`.
    """
    order = {image: index for index, image in enumerate(sorted(image["id"] for image in truth["images"]))}
    counts = draw_sets(len(order)) if counts is None else counts
    classes = _by_class(match_boxes(truth, detections, engine=engine), order)
    ap = np.full((len(classes), len(IOU_THRESHOLDS), len(counts)), np.nan)
    for row, found in enumerate(classes):
        step = max(1, LARGEST // max(1, found.image.size))
        for start in range(0, len(counts), step):
            ap[row, :, start : start + step] = _average_precision(found, counts[start : start + step])
    values = {name: _mean_of_defined(ap[:, chosen].mean(axis=1)) for name, chosen in METRICS.items()}
    return ResampledAP(len(order), zlib.crc32(np.ascontiguousarray(counts, dtype=np.int32).tobytes()), values)


def _by_class(entries: list[dict[str, Any]], order: dict[int, int]) -> list[_Class]:
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: order[entry["image_id"]]):
        grouped[entry["category_id"]].append(entry)
    return [_one_class(grouped[category], order) for category in sorted(grouped)]


def _one_class(entries: list[dict[str, Any]], order: dict[int, int]) -> _Class:
    scores = [np.asarray(entry["dtScores"], dtype=np.float64).reshape(-1) for entry in entries]
    best_first = np.argsort(-np.concatenate(scores), kind="stable")  # ties: the earlier image first, as COCO has it
    image = np.repeat([order[entry["image_id"]] for entry in entries], [len(s) for s in scores])
    thresholds = len(IOU_THRESHOLDS)
    matched, ignored = (
        np.concatenate([np.asarray(entry[key]).reshape(thresholds, -1) != 0 for entry in entries], axis=1)
        for key in ("dtMatches", "dtIgnore")
    )
    boxes = np.zeros(len(order), dtype=np.int64)
    for entry in entries:
        boxes[order[entry["image_id"]]] += np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
    return _Class(image[best_first], matched[:, best_first], ~ignored[:, best_first], boxes)


def _average_precision(found: _Class, counts: np.ndarray) -> np.ndarray:
    """(10, sets): the mean of the precision at 101 points of recall; nan in sets without a box of the class.

    A detection counts as often as the set has its image, all copies at once: where two detections of one image have
    the same score, whose order COCO leaves open, copy after copy would give a slightly different number. Only hits
    need be looked at: between two of them recall is constant and precision falls.
    """
    weights, boxes = counts[:, found.image], counts @ found.boxes
    needed = _hits_needed(boxes)
    every = np.cumsum(weights, axis=1, dtype=np.int32)
    values = np.empty((len(found.matched), len(counts)))
    for index, (matched, counted) in enumerate(zip(found.matched, found.counted, strict=True)):
        hits = np.flatnonzero(matched & counted)
        seen = every if counted.all() else np.cumsum(weights * counted, axis=1, dtype=np.int32)
        true = np.cumsum(weights[:, hits], axis=1, dtype=np.int64)
        precision = true / np.maximum(seen[:, hits], 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        values[index] = _at_recall_points(envelope, true, needed).mean(axis=1)
    values[:, boxes == 0] = np.nan
    return values


def _hits_needed(boxes: np.ndarray) -> np.ndarray:
    """(sets, 101): the fewest hits whose share of the boxes reaches each point of recall, as floating point has it."""
    boxes = np.maximum(boxes, 1)[:, None]
    hits = np.ceil(RECALL_POINTS * boxes).astype(np.int64)
    hits -= (hits - 1) / boxes >= RECALL_POINTS
    return hits + (hits / boxes < RECALL_POINTS)


def _at_recall_points(envelope: np.ndarray, true: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """The envelope where each row first has the hits it needs, (sets, 101); 0 where it never has them."""
    sets, hits = true.shape
    row = np.arange(sets)[:, None]
    shift = row * (int(max(true.max(initial=0), needed.max())) + 1)  # rows are searched in one go, end to end
    found = np.searchsorted((true + shift).ravel(), needed + shift) - row * hits
    padded = np.concatenate([envelope, np.zeros((sets, 1))], axis=1)
    return np.take_along_axis(padded, np.minimum(found, hits), axis=1)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over classes (axis 0) that have boxes in the set; nan where none has."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.divide(total, defined.sum(axis=0), out=np.full(total.shape, np.nan), where=defined.any(axis=0))
