"""Depthwise-separable convolutions of many edges as one operation that keeps nothing but its input.

The depthwise results are as large as the output and quick to compute, so the backward pass computes them again. That
takes a third of the supernet's memory away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nas.depthwise_gradients import depthwise, depthwise_input_gradient, depthwise_weight_gradient

_convolution_backward = torch.ops.aten.convolution_backward


def separable(x: Tensor, kernels: Sequence[Tensor], pointwise: Tensor, stride: int, dilation: int) -> Tensor:
    """Several depthwise-separable convolutions side by side, without bias.

    Each of the ``kernels`` (groups_i * C, 1, k_i, k_i) makes groups_i convolutions of C channels; ``pointwise`` is
    (groups * C, C, 1, 1) with groups the sum of them. ``x`` is (N, C, H, W), read by all, or (N, groups * C, H, W), an
    input for each. Returns (N, groups * C, H / stride, W / stride).
    """
    device = x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(
        device
    ):  # a Function of its own is not cast by autocast
        dtype = torch.get_autocast_dtype(device)
        x, pointwise, kernels = x.to(dtype), pointwise.to(dtype), [weight.to(dtype) for weight in kernels]
    return _Separable.apply(x, pointwise, stride, dilation, *kernels)


class _Separable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pointwise: Tensor, stride: int, dilation: int, *kernels: Tensor) -> Tensor:
        ctx.save_for_backward(x, pointwise, *kernels)
        ctx.stride, ctx.dilation = stride, dilation
        return pointwise_convolution(_depthwise(x, kernels, stride, dilation), pointwise)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, pointwise, *kernels = ctx.saved_tensors
        how = (ctx.stride, ctx.dilation)
        wants_x, wants_pointwise, _, _, *wants_kernels = ctx.needs_input_grad
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        # Only the gradient of the pointwise weights reads the values in the middle; else any of that size will do.
        middle = _depthwise(x, kernels, *how) if wants_pointwise else grad
        wants_middle = wants_x or any(wants_kernels)
        grad_middle, grad_pointwise = _pointwise_gradients(grad, middle, pointwise, wants_middle, wants_pointwise)
        grad_x: Tensor | None = None
        grad_kernels: list[Tensor | None] = [None] * len(kernels)
        if grad_middle is not None:
            parts, inputs = _parts(grad_middle, kernels), _inputs(x, kernels)
            grad_kernels = [
                depthwise_weight_gradient(g, i, w, *how) if wanted else None
                for g, i, w, wanted in zip(parts, inputs, kernels, wants_kernels)
            ]
            if wants_x:
                grad_inputs = [depthwise_input_gradient(g, i, w, *how) for g, i, w in zip(parts, inputs, kernels)]
                grad_x = _join(grad_inputs, shared=inputs[0] is x)
        return grad_x, grad_pointwise, None, None, *grad_kernels


def pointwise_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """Grouped 1x1 convolution; with one group on a CPU a matrix product, which costs two thirds of it."""
    if x.shape[1] == weight.shape[1] and x.device.type == "cpu":
        return (x.permute(0, 2, 3, 1) @ weight[:, :, 0, 0].t()).permute(0, 3, 1, 2)
    return functional.conv2d(x, weight, groups=x.shape[1] // weight.shape[1])


def _pointwise_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, wants_x: bool, wants_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    if x.shape[1] == weight.shape[1] and x.device.type == "cpu":
        rows, weights = grad.permute(0, 2, 3, 1), weight[:, :, 0, 0]
        grad_x = (rows @ weights).permute(0, 3, 1, 2) if wants_x else None
        if not wants_weight:
            return grad_x, None
        return grad_x, (rows.flatten(0, 2).t() @ x.permute(0, 2, 3, 1).flatten(0, 2)).view_as(weight)
    mask = [wants_x, wants_weight, False]
    groups = x.shape[1] // weight.shape[1]
    return _convolution_backward(grad, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups, mask)[:2]


def _depthwise(x: Tensor, kernels: Sequence[Tensor], stride: int, dilation: int) -> Tensor:
    results = [depthwise(i, w, stride, dilation) for i, w in zip(_inputs(x, kernels), kernels)]
    return torch.cat(results, dim=1) if len(results) > 1 else results[0]


def _inputs(x: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
    """What each kernel reads: all of them ``x``, or each its own channels of it."""
    own = len(kernels) > 1 and x.shape[1] == sum(weight.shape[0] for weight in kernels)
    return _parts(x, kernels) if own else [x] * len(kernels)


def _parts(x: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
    if len(kernels) == 1:
        return [x]
    parts = x.split([weight.shape[0] for weight in kernels], dim=1)
    return [part.contiguous(memory_format=torch.channels_last) for part in parts]


def _join(gradients: Sequence[Tensor], shared: bool) -> Tensor:
    """The gradient of the whole input: the sum where it was shared, else the parts side by side."""
    if len(gradients) == 1:
        return gradients[0]
    if not shared:
        return torch.cat(list(gradients), dim=1)
    total = gradients[0] + gradients[1]
    for gradient in gradients[2:]:
        total += gradient
    return total
