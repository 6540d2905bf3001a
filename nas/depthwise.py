"""Depthwise convolution of discrete networks: PyTorch's own, but quick on a CPU where oneDNN is slow.

Three changes, none of which changes the result beyond rounding:

* the part of the kernel that can only ever meet padding is left out: on an image of 2 x 2 pixels a kernel of 5 is one
  of 3, on 1 x 1 a product;
* with stride and dilation 2 the kernel reads even rows and columns only: an ordinary convolution of every other pixel;
* the gradients of dilated and of 5x5 kernels are composed of operations that oneDNN is quick at, see
  :mod:`nas.depthwise_gradients`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.depthwise_gradients import depthwise_input_gradient, depthwise_weight_gradient


class DepthwiseConv2d(nn.Conv2d):
    """``nn.Conv2d(channels, channels, kernel, groups=channels, bias=False)``, padded to keep the size at stride 1.

    ``kernel`` is odd; parameters and their names are those of :class:`torch.nn.Conv2d`.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return depthwise_convolution(x, self.weight, self.stride[0], self.dilation[0])


def depthwise_convolution(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """``x`` (N, C, H, W) by ``weight`` (C, 1, k, k), padded to keep the size at stride 1."""
    if x.device.type != "cpu":
        return _convolve(x, weight, stride, dilation)
    if stride == dilation == 2:
        x, stride, dilation = x[:, :, ::2, ::2], 1, 1
    if not _slow(weight, x.shape[2:], stride, dilation):
        return _convolve(x, weight, stride, dilation)
    if torch.is_autocast_enabled("cpu"):  # autocast does not look into a Function
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
    return _Depthwise.apply(x, weight, stride, dilation)


def could_be_depthwise(conv: nn.Conv2d) -> bool:
    """Whether ``conv`` is one that :class:`DepthwiseConv2d` could have built."""
    kernel, stride, dilation = conv.kernel_size, conv.stride, conv.dilation
    return (
        conv.groups == conv.in_channels == conv.out_channels
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and all(side[0] == side[1] for side in (kernel, stride, dilation))
        and kernel[0] % 2 == 1
        and conv.padding == (dilation[0] * (kernel[0] // 2),) * 2
    )


def _slow(weight: Tensor, size: torch.Size, stride: int, dilation: int) -> bool:
    """Where :class:`_Depthwise` was measured to be quicker than oneDNN (one thread, 8 to 192 channels)."""
    kernel = weight.shape[2]
    if _reach(weight, size, dilation) != (kernel // 2, kernel // 2):
        return True
    return kernel in (3, 5) and (dilation == 2 or (kernel == 5 and stride == 1 and len(weight) >= 16))


def _reach(weight: Tensor, size: torch.Size, dilation: int) -> tuple[int, int]:
    """How many rows and columns beside its centre a kernel meets pixels with, on an image of ``size``."""
    rows, columns = (min(weight.shape[2] // 2, (side - 1) // dilation) for side in size)
    return rows, columns


def _middle(weight: Tensor, reach: tuple[int, int]) -> Tensor:
    """The view of a kernel (C, 1, k, k) that ``reach`` leaves."""
    centre = weight.shape[2] // 2
    rows, columns = (slice(centre - radius, centre + radius + 1) for radius in reach)
    return weight[:, :, rows, columns]


def _convolve(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    padding = [dilation * (side // 2) for side in weight.shape[2:]]
    return functional.conv2d(x, weight, None, stride, padding, dilation, groups=weight.shape[0])


class _Depthwise(torch.autograd.Function):
    """The convolution with the part of the kernel that meets pixels, and its composed gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        ctx.reach = _reach(weight, x.shape[2:], dilation)
        used = _middle(weight, ctx.reach)
        return x * used.view(1, -1, 1, 1) if ctx.reach == (0, 0) else _convolve(x, used, stride, dilation)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        used = _middle(weight, ctx.reach)
        grad_x, grad_used = _gradients(grad, x, used, ctx.stride, ctx.dilation, ctx.needs_input_grad[:2])
        grad_weight = None
        if grad_used is not None:
            # In the strides of the weight, which data parallelism asks for; zeros_like gives others to (C, 1, k, k).
            grad_weight = torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype).zero_()
            _middle(grad_weight, ctx.reach).copy_(grad_used)
        return grad_x, grad_weight, None, None


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients with respect to ``x`` and ``weight`` (C, 1, kh, kw), those that are ``wanted``."""
    height, width = weight.shape[2:]
    if height == width == 1:
        by_channel = weight.view(1, -1, 1, 1)
        grad_weight = (grad * x).sum(dim=(0, 2, 3)).view_as(weight) if wanted[1] else None
        return grad * by_channel if wanted[0] else None, grad_weight
    if height != width or height not in (3, 5):
        padding = [dilation * (side // 2) for side in weight.shape[2:]]
        geometry = ([stride] * 2, padding, [dilation] * 2, False, [0, 0], len(weight))
        return torch.ops.aten.convolution_backward(grad, x, weight, None, *geometry, [*wanted, False])[:2]
    return (
        depthwise_input_gradient(grad, x, weight, stride, dilation) if wanted[0] else None,
        depthwise_weight_gradient(grad, x, weight, stride, dilation) if wanted[1] else None,
    )
