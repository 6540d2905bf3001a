"""The stand-in for mmcv._ext against definitions written out plainly."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch
from torch import Tensor

mmcv_ops = pytest.importorskip("mmcv.ops")


def random_boxes(count: int, seed: int, size: float = 40.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * size
    extent = torch.rand(count, 2, generator=generator) * size / 2 + 1
    return torch.cat([corner, corner + extent], 1).round()


def plain_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int) -> list[int]:
    """Greedy non-maximum suppression in float32, as its definition reads."""
    boxes = boxes.astype(np.float32)
    threshold = np.float32(threshold)
    extent = boxes[:, 2:] - boxes[:, :2] + np.float32(offset)
    area = extent[:, 0] * extent[:, 1]
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable"):
        for better in kept:
            low = np.maximum(boxes[candidate, :2], boxes[better, :2])
            high = np.minimum(boxes[candidate, 2:], boxes[better, 2:])
            side = np.maximum(high - low + np.float32(offset), 0)
            overlap = side[0] * side[1]
            if overlap / (area[candidate] + area[better] - overlap) > threshold:
                break
        else:
            kept.append(int(candidate))
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7])
def test_nms_keeps_what_the_definition_keeps(threshold: float, offset: int) -> None:
    for seed in range(20):
        boxes, scores = random_boxes(60, seed), torch.rand(60, generator=torch.Generator().manual_seed(seed))
        _, kept = mmcv_ops.nms(boxes, scores, threshold, offset=offset)
        assert kept.tolist() == plain_nms(boxes.numpy(), scores.numpy(), threshold, offset)


def test_nms_offset_changes_the_answer() -> None:
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 5.0, 9.0, 14.0]])  # overlap 4/14 = 0.286, or 5/15 with offset
    scores = torch.tensor([0.9, 0.8])
    assert mmcv_ops.nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]
    assert mmcv_ops.nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]


def test_nms_compares_with_the_threshold_in_float32() -> None:
    """An overlap of exactly float32(0.7) is above the double 0.7 - but not above the threshold mmcv compares with."""
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 7.0]])
    overlap = torch.tensor(70.0) / torch.tensor(100.0)
    below = float(np.nextafter(float(overlap), 0.0))  # a double just under it that rounds to the same float32
    assert below < float(overlap)
    assert mmcv_ops.nms(boxes, torch.tensor([0.9, 0.8]), below)[1].tolist() == [0, 1]


def test_batched_nms_never_suppresses_across_classes() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    kept = mmcv_ops.batched_nms(
        boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), {"type": "nms", "iou_threshold": 0.5}
    )
    assert len(kept[1]) == 2


def bilinear(image: Tensor, y: float, x: float) -> Tensor:
    """Value of ``image`` (C, H, W) at a point; zero beyond one pixel outside, clamped at the border."""
    height, width = image.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return image.new_zeros(image.shape[0])
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    dy, dx = y - y0, x - x0
    top = image[:, y0, x0] * (1 - dx) + image[:, y0, x1] * dx
    return top * (1 - dy) + (image[:, y1, x0] * (1 - dx) + image[:, y1, x1] * dx) * dy


def plain_roi_align(image: Tensor, roi: Tensor, size: int, scale: float, samples: int, aligned: bool) -> Tensor:
    """Mean of ``samples`` squared bilinear samples in each of ``size`` squared bins (He et al. 2017, section 3)."""
    x1, y1, x2, y2 = (float(v) * scale - (0.5 if aligned else 0.0) for v in roi)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    bins = torch.zeros(image.shape[0], size, size, dtype=image.dtype)
    count_y = samples or math.ceil(height / size)
    count_x = samples or math.ceil(width / size)
    for row in range(size):
        for column in range(size):
            points = [
                bilinear(
                    image,
                    y1 + height / size * (row + (i + 0.5) / count_y),
                    x1 + width / size * (column + (j + 0.5) / count_x),
                )
                for i in range(count_y)
                for j in range(count_x)
            ]
            bins[:, row, column] = torch.stack(points).mean(0)
    return bins


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("samples", [0, 2])
def test_roi_align_is_the_mean_of_bilinear_samples(samples: int, aligned: bool) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    rois = torch.tensor(
        [[0, 1.0, 2.0, 13.0, 9.0], [1, 0.0, 0.0, 21.0, 17.0], [1, 6.2, 3.1, 6.6, 3.3]], dtype=torch.float64
    )
    result = mmcv_ops.roi_align(image, rois, 3, 0.5, samples, "avg", aligned)
    for index, roi in enumerate(rois):
        expected = plain_roi_align(image[int(roi[0])], roi[1:], 3, 0.5, samples, aligned)
        torch.testing.assert_close(result[index], expected)


def test_roi_align_gradient_is_that_of_its_values() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 1.0, 1.0, 9.0, 8.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: mmcv_ops.roi_align(x, rois, 2, 0.5, 2, "avg", True), image)


def test_roi_align_max_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match="roi_align"):
        mmcv_ops.roi_align(torch.rand(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), 2, 1.0, 0, "max", True)


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_sigmoid_focal_loss_is_equation_five(gamma: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 4, dtype=torch.float64) * 3
    target = torch.tensor([0, 1, 2, 3, 4, 4, 1])  # 4 is background
    loss = mmcv_ops.sigmoid_focal_loss(logits, target, gamma, 0.25, None, "none")
    for row in range(7):
        for column in range(4):
            p = 1 / (1 + math.exp(-float(logits[row, column])))
            truth = int(target[row]) == column
            pt, alpha = (p, 0.25) if truth else (1 - p, 0.75)
            assert float(loss[row, column]) == pytest.approx(-alpha * (1 - pt) ** gamma * math.log(pt))


def test_sigmoid_focal_loss_gradient_is_that_of_its_values() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 3])
    weight = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    for reduction in ("mean", "sum"):
        assert torch.autograd.gradcheck(
            lambda x, kind=reduction: mmcv_ops.sigmoid_focal_loss(x, target, 2.0, 0.25, weight, kind), logits
        )


def test_sigmoid_focal_loss_gradient_at_zero_logit() -> None:
    logits = torch.zeros(1, 1, requires_grad=True)
    mmcv_ops.sigmoid_focal_loss(logits, torch.tensor([0]), 0.0, 0.5, None, "sum").backward()
    assert float(logits.grad) == pytest.approx(-0.25)  # alpha * (p - 1)


def test_unknown_operation_says_its_name_when_called() -> None:
    with pytest.raises(NotImplementedError, match=r"mmcv\._ext\.roi_pool_forward"):
        mmcv_ops.roi_pool(torch.rand(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]]), (2, 2), 1.0)


def test_extension_is_found_like_a_compiled_one() -> None:
    assert importlib.util.find_spec("mmcv._ext") is not None
