"""Soft suppression and the groups of suppression against definitions written out plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_mmcv_ops import random_boxes

mmcv_ops = pytest.importorskip("mmcv.ops")


def overlap(one: np.ndarray, other: np.ndarray, offset: int = 0) -> float:
    width, height = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]) + offset, 0)
    areas = [np.prod(box[2:] - box[:2] + offset) for box in (one, other)]
    return float(width * height / (sum(areas) - width * height))


def plain_soft_nms(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, sigma: float, least: float, method: str, offset: int
) -> dict[int, float]:
    """Figure 2 of Bodla et al. 2017: index and score of what remains, in the order in which it is taken."""
    left = {index: float(score) for index, score in enumerate(scores)}
    found: dict[int, float] = {}
    while left:
        best = max(left, key=lambda index: left[index])
        found[best] = left.pop(best)
        for index in left:
            shared = overlap(boxes[best], boxes[index], offset)
            if method == "gaussian":
                left[index] *= math.exp(-(shared**2) / sigma)
            elif shared >= threshold:
                left[index] *= 1 - shared if method == "linear" else 0
        left = {index: score for index, score in left.items() if score >= least}
    return found


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_soft_nms_is_the_papers(method: str, offset: int) -> None:
    for seed in range(10):
        boxes = random_boxes(40, seed)
        scores = torch.rand(40, generator=torch.Generator().manual_seed(seed))
        dets, kept = mmcv_ops.soft_nms(boxes, scores, 0.3, 0.5, 0.05, method, offset)
        expected = plain_soft_nms(boxes.double().numpy(), scores.double().numpy(), 0.3, 0.5, 0.05, method, offset)
        assert kept.tolist() == list(expected)
        assert torch.equal(dets[:, :4], boxes[kept])
        assert dets[:, 4].tolist() == pytest.approx(list(expected.values()), rel=1e-5)


def test_soft_nms_keeps_the_best_box_and_takes_no_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 9, 9], [50.0, 50, 60, 60]])
    assert mmcv_ops.soft_nms(boxes, torch.tensor([0.001, 0.0005]), min_score=0.01)[1].tolist() == [0]
    dets, kept = mmcv_ops.soft_nms(boxes[:0], torch.empty(0))
    assert dets.shape == (0, 5) and kept.tolist() == []


def test_soft_nms_orders_equal_scores_as_mmcv() -> None:
    """Followed by hand through mmcv's loop: who is taken swaps with the first, who falls out with the last."""
    near, far = [0.0, 0, 10, 10], [[100.0 * k, 0, 100.0 * k + 10, 10] for k in range(1, 5)]
    boxes = torch.tensor([far[0], near, near, far[1], far[2], far[3]])
    scores = torch.tensor([0.5, 0.9, 0.8, 0.5, 0.5, 0.5])
    assert mmcv_ops.soft_nms(boxes, scores, 0.5, method="naive")[1].tolist() == [1, 0, 5, 3, 4]


def test_batched_nms_takes_soft_nms() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 9], [0.0, 0, 10, 10]])
    config = {"type": "soft_nms", "iou_threshold": 0.5, "min_score": 0.05}
    dets, kept = mmcv_ops.batched_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1]), config)
    assert kept.tolist() == [0, 2, 1]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.7, 0.8 * (1 - 0.9)])


def test_nms_match_groups_are_the_definitions() -> None:
    """Every box is in one group: that of the first kept box, by score, which overlaps it by the threshold."""
    for seed in range(10):
        boxes, scores = random_boxes(50, seed), torch.rand(50, generator=torch.Generator().manual_seed(seed))
        groups = mmcv_ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.4)
        expected: dict[int, list[int]] = {}
        for index in np.argsort(-scores.numpy(), kind="stable").tolist():
            owners = (kept for kept in expected if overlap(boxes[kept].numpy(), boxes[index].numpy()) >= 0.4)
            owner = next(owners, None)
            expected.setdefault(index if owner is None else owner, []).append(index)
        assert [group.tolist() for group in groups] == list(expected.values())
        assert any(len(group) > 1 for group in groups)


def test_nms_match_compares_with_at_least() -> None:
    """mmcv's ``nms`` removes above the threshold, its ``nms_match`` joins from the threshold on."""
    dets = torch.tensor([[0.0, 0, 10, 10, 0.9], [0.0, 0, 10, 5, 0.8]])  # overlap 0.5 exactly
    assert [group.tolist() for group in mmcv_ops.nms_match(dets, 0.5)] == [[0, 1]]
    assert len(mmcv_ops.nms(dets[:, :4], dets[:, 4].contiguous(), 0.5)[1]) == 2
    assert mmcv_ops.nms_match(dets[:0], 0.5) == []
