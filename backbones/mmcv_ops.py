"""The operations of ``mmcv._ext`` that detectors need, on torchvision's kernels and plain PyTorch.

The signatures are those by which ``mmcv.ops`` calls its extension (2.1.0): outputs are written in place. An operation
is listed only if it gives mmcv's numbers. torchvision's ``roi_pool`` does not (it rounds the bins differently), and so
it is missing on purpose; whatever is missing raises ``NotImplementedError`` with its name when it is called.
"""
# ruff: noqa: ARG001  (arguments that only the compiled kernels use)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision  # noqa: F401  (its import registers the kernels under torch.ops.torchvision)
from torch import Tensor
from torch.nn import functional

from backbones import mmcv_deformable, mmcv_suppression

_kernels = torch.ops.torchvision


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes kept, by falling score.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: a box is dropped if its overlap with a better one is greater. mmcv's kernel compares in float32,
            so the threshold is rounded to float32 first.
        offset: 0, or 1 for the convention in which a box covers its last pixel (width = x2 - x1 + 1).
    """
    if offset:
        boxes = boxes + boxes.new_tensor([0.0, 0.0, offset, offset])
    return _kernels.nms(boxes, scores, torch.tensor(iou_threshold, dtype=torch.float32).item())


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average RoIAlign of ``input`` (N, C, H, W) at ``rois`` (R, 5: image, x1, y1, x2, y2) into ``output``."""
    _only_average(pool_mode)
    size = (aligned_height, aligned_width)
    output.copy_(_kernels.roi_align(input, rois, spatial_scale, *size, sampling_ratio, aligned))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward` with respect to its input, written to ``grad_input``."""
    _only_average(pool_mode)
    size = (aligned_height, aligned_width)
    shape = grad_input.shape
    grad_input.copy_(
        _kernels._roi_align_backward(grad_output, rois, spatial_scale, *size, *shape, sampling_ratio, aligned)
    )


def _only_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError("mmcv._ext.roi_align with pool_mode='max' has no torchvision kernel; use 'avg'")


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al. 2017, Eq. 5) of logits (N, C) against class indices (N,); index C is background.

    ``weight`` (C,) or empty scales a row by its target class; a background row is not weighted. As in mmcv's kernel the
    logarithm is bounded at the smallest normal float32, so the value saturates beyond logits of about 17.
    """
    sign, balance = _truth(input, target, alpha)
    signed = sign * input
    tiny = torch.finfo(torch.float32).tiny
    loss = -balance * torch.sigmoid(-signed) ** gamma * torch.sigmoid(signed).clamp(min=tiny).log()
    output.copy_(loss * _row_weight(weight, target, input))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Gradient of the focal loss with respect to the logits, written to ``grad_input``.

    With s = x for the target class and -x otherwise, and p = sigmoid(s), it is
    -balance * (1 - p)^gamma * (1 - p - gamma * p * log p) * ds/dx.
    """
    sign, balance = _truth(input, target, alpha)
    signed = sign * input
    p = torch.sigmoid(signed)
    rest = torch.sigmoid(-signed)
    slope = -balance * rest**gamma * (rest - gamma * p * functional.logsigmoid(signed))
    grad_input.copy_(slope * sign * _row_weight(weight, target, input))


def _truth(logits: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Per element: +1 where the class is the target and -1 elsewhere, and the balance alpha or 1 - alpha."""
    positive = functional.one_hot(target, logits.shape[1] + 1)[:, :-1].bool()
    return torch.where(positive, 1.0, -1.0).to(logits), torch.where(positive, alpha, 1.0 - alpha).to(logits)


def _row_weight(weight: Tensor, target: Tensor, like: Tensor) -> Tensor:
    if weight.numel() == 0:
        return like.new_ones(())
    return torch.cat([weight, weight.new_ones(1)])[target].unsqueeze(1)


def missing_operation(name: str) -> Callable[..., Any]:
    """Stand-in for an operation of mmcv without an exact counterpart here; calling it raises."""
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*_: object, **__: object) -> None:
        raise NotImplementedError(
            f"mmcv._ext.{name} is not available: mmcv's compiled operations are not installed and torchvision has no "
            "kernel with the same result"
        )

    missing.__name__ = name
    return missing


OPERATIONS: dict[str, Callable[..., Any]] = {
    operation.__name__: operation
    for operation in (
        nms,
        mmcv_suppression.softnms,
        mmcv_suppression.nms_match,
        roi_align_forward,
        roi_align_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        mmcv_deformable.deform_conv_forward,
        mmcv_deformable.deform_conv_backward_input,
        mmcv_deformable.deform_conv_backward_parameters,
        mmcv_deformable.modulated_deform_conv_forward,
        mmcv_deformable.modulated_deform_conv_backward,
        mmcv_deformable.ms_deform_attn_forward,
        mmcv_deformable.ms_deform_attn_backward,
    )
}
