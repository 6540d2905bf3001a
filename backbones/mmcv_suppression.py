"""Two kinds of suppression in ``mmcv._ext``: soft non-maximum suppression, and the groups that suppression forms.

The signatures are those by which ``mmcv.ops`` calls its extension (2.1.0), and so is the order of the result where
scores are equal. mmcv runs both on the CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor

NAIVE, LINEAR, GAUSSIAN = range(3)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    *,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft suppression (Bodla et al. 2017, section 3): the best box lowers the scores of those that overlap it.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        dets: (N, 5); boxes with their new scores are written to its first rows, in the order of the result.
        iou_threshold: the overlap from which ``NAIVE`` removes a box and ``LINEAR`` multiplies by 1 - overlap.
        sigma: of ``GAUSSIAN``, which multiplies by exp(-overlap^2 / sigma).
        min_score: a box falls out when its score is lower.
        method: ``NAIVE``, ``LINEAR`` or ``GAUSSIAN``.
        offset: 0, or 1 for the convention in which a box covers its last pixel.

    Returns: the indices (M,) of the boxes that remain.
    """
    remaining, scores = torch.arange(len(boxes)), scores.clone()
    kept: list[Tensor] = []
    while len(remaining):
        best = scores[remaining].argmax()
        chosen, remaining = remaining[best].clone(), _without(remaining, best)
        dets[len(kept), :4], dets[len(kept), 4] = boxes[chosen], scores[chosen]
        kept.append(chosen)
        overlap = _overlap(boxes[chosen], boxes[remaining], offset)
        scores[remaining] *= _weight(overlap, method, iou_threshold, sigma)
        remaining = _fill_gaps(remaining, ~(scores[remaining] < min_score))
    return torch.stack(kept) if kept else remaining


def _without(order: Tensor, place: Tensor) -> Tensor:
    """``order`` without the element at ``place``, which the first one replaces."""
    order = order.clone()
    order[place] = order[0]
    return order[1:]


def _weight(overlap: Tensor, method: int, iou_threshold: float, sigma: float) -> Tensor:
    if method == GAUSSIAN:
        return torch.exp(-(overlap * overlap) / sigma)
    lowered = 1 - overlap if method == LINEAR else torch.zeros_like(overlap)
    return torch.where(overlap >= torch.tensor(iou_threshold, dtype=overlap.dtype), lowered, 1.0)


def _fill_gaps(order: Tensor, stays: Tensor) -> Tensor:
    """What of ``order`` stays, where each gap takes the last element that stays behind the new end (as in mmcv)."""
    count = int(stays.sum())
    head = order[:count].clone()
    head[~stays[:count]] = order[count:][stays[count:]].flip(0)
    return head


def nms_match(dets: Tensor, *, iou_threshold: float) -> list[list[int]]:
    """Groups of boxes: each kept one, by falling score, and behind it those that it suppresses.

    Args:
        dets: (N, 5) as x1, y1, x2, y2, score.
        iou_threshold: a box joins the group of the first better one whose overlap with it is at least this.
    """
    boxes, order = dets[:, :4], dets[:, 4].sort(descending=True)[1]
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).to(boxes.dtype)
    groups = []
    while len(order):
        best, order = order[0], order[1:]
        suppressed = _overlap(boxes[best], boxes[order], 0) >= threshold
        groups.append([int(best), *order[suppressed].tolist()])
        order = order[~suppressed]
    return groups


def _overlap(box: Tensor, others: Tensor, offset: int) -> Tensor:
    """Intersection over union of ``box`` (4,) with each of ``others`` (N, 4)."""
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    intersection = (high - low + offset).clamp(min=0).prod(1)
    area = (box[2:] - box[:2] + offset).prod()
    return intersection / (area + (others[:, 2:] - others[:, :2] + offset).prod(1) - intersection)
