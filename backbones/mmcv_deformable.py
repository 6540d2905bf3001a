"""The deformable operations of ``mmcv._ext``: convolution (with and without modulation) and multi-scale attention.

The signatures are those by which ``mmcv.ops`` calls its extension (2.1.0): gradients and outputs are written in place,
and ``columns`` and ``ones`` are scratch space of the compiled kernels that stays untouched here.
"""
# ruff: noqa: ARG001  (arguments that only the compiled kernels use)

from __future__ import annotations

import torch
import torchvision  # noqa: F401  (its import registers the kernels under torch.ops.torchvision)
from torch import Tensor
from torch.nn import functional

_kernels = torch.ops.torchvision
_MODULATED = ("stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w", "group", "deformable_group")
_PLAIN = ("dH", "dW", "padH", "padW", "dilationH", "dilationW", "group", "deformable_group")


def ms_deform_attn_forward(
    value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, attention: Tensor, *, im2col_step: int
) -> Tensor:
    """Multi-scale deformable attention (Zhu et al. 2021, Eq. 3) by ``grid_sample``, on any device.

    Args:
        value: (B, sum of H*W, heads, channels per head).
        shapes: (levels, 2) heights and widths; ``starts`` (levels,) first index of each level in ``value``.
        locations: (B, queries, heads, levels, points, 2), x and y in 0..1.
        attention: (B, queries, heads, levels, points).

    Returns: (B, queries, heads * channels).
    """
    batch, _, heads, channels = value.shape
    queries = locations.shape[1]
    result = value.new_zeros(batch * heads, channels, queries)
    for level, ((height, width), start) in enumerate(zip(shapes.tolist(), starts.tolist(), strict=True)):
        feature = value[:, start : start + height * width].permute(0, 2, 3, 1).reshape(-1, channels, height, width)
        grid = 2 * locations[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1
        sampled = functional.grid_sample(feature, grid, padding_mode="zeros", align_corners=False)
        result = result + (sampled * attention[:, :, :, level].transpose(1, 2).flatten(0, 1).unsqueeze(1)).sum(-1)
    return result.view(batch, heads * channels, queries).transpose(1, 2).contiguous()


def ms_deform_attn_backward(
    value: Tensor,
    shapes: Tensor,
    starts: Tensor,
    locations: Tensor,
    attention: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_locations: Tensor,
    grad_attention: Tensor,
    *,
    im2col_step: int,
) -> None:
    """Gradients of :func:`ms_deform_attn_forward`, written to the last three tensors."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in (value, locations, attention)]
        output = ms_deform_attn_forward(leaves[0], shapes, starts, leaves[1], leaves[2], im2col_step=im2col_step)
        gradients = torch.autograd.grad(output, leaves, grad_output)
    for target, gradient in zip((grad_value, grad_locations, grad_attention), gradients, strict=True):
        target.copy_(gradient)


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **geometry: int
) -> None:
    """Deformable convolution (Dai et al. 2017) of ``input`` (N, C, H, W), no mask and no bias, into ``output``.

    ``offset`` is (N, 2 * deformable groups * kH * kW, H', W') as y, x pairs; ``im2col_step`` in ``geometry`` only
    sets the memory use of the compiled kernel.
    """
    shape = _geometry(geometry, *_PLAIN)
    no_mask, no_bias = _absent(input, weight)
    output.copy_(_kernels.deform_conv2d(input, weight, offset, no_mask, no_bias, *shape, False))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Gradients of :func:`deform_conv_forward` with respect to input and offset, written in place."""
    gradients = _deform_conv_gradients(input, weight, offset, grad_output, geometry)
    grad_input.copy_(gradients[0])
    grad_offset.copy_(gradients[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **geometry: int,
) -> None:
    """Gradient of :func:`deform_conv_forward` with respect to the weight, times ``scale``, added to ``grad_weight``."""
    gradients = _deform_conv_gradients(input, grad_weight, offset, grad_output, geometry)
    grad_weight.add_(gradients[1], alpha=scale)


def _deform_conv_gradients(
    input: Tensor, weight: Tensor, offset: Tensor, grad_output: Tensor, geometry: dict[str, int]
) -> tuple[Tensor, ...]:
    shape = _geometry(geometry, *_PLAIN)
    no_mask, no_bias = _absent(input, weight)
    return _kernels._deform_conv2d_backward(grad_output, input, weight, offset, no_mask, no_bias, *shape, False)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Modulated deformable convolution (Zhu et al. 2019): as :func:`deform_conv_forward`, with mask and bias."""
    shape = _geometry(geometry, *_MODULATED)
    bias = bias if geometry["with_bias"] else _absent(input, weight)[1]
    output.copy_(_kernels.deform_conv2d(input, weight, offset, mask, bias, *shape, True))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    **geometry: int,
) -> None:
    """Gradients of :func:`modulated_deform_conv_forward`, written in place."""
    shape = _geometry(geometry, *_MODULATED)
    with_bias = bool(geometry["with_bias"])
    bias = bias if with_bias else _absent(input, weight)[1]
    gradients = _kernels._deform_conv2d_backward(grad_output, input, weight, offset, mask, bias, *shape, True)
    targets = (grad_input, grad_weight, grad_offset, grad_mask) + ((grad_bias,) if with_bias else ())
    for target, gradient in zip(targets, gradients, strict=False):
        target.copy_(gradient)


def _geometry(given: dict[str, int], *names: str) -> list[int]:
    """The geometry in torchvision's order: stride, padding, dilation (each y, x), groups, offset groups."""
    return [given[name] for name in names]


def _absent(input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The stand-ins torchvision's kernel takes for no mask and for no bias."""
    return input.new_zeros(input.shape[0], 0), weight.new_zeros(weight.shape[0])
