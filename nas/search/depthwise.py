"""Depthwise convolution of several edges that read one state, with gradients that are fast on a CPU.

oneDNN computes the forward pass and the 3x3 gradients quickly, but falls back to loops, ten to thirty times slower, for
the gradients of dilated kernels and for the weights of 5x5 kernels. Both can be expressed by what is quick:

* the gradient of the input (stride 1) is a forward convolution with the kernel turned by 180 degrees;
* a dilation of 2 is an ordinary convolution of each of the four phases (even and odd rows and columns) of the image,
  or, at stride 2, of the even phase alone;
* the gradient of a 5x5 kernel consists of the (overlapping) gradients of two 5x3 kernels on shifted images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_convolution_backward = torch.ops.aten.convolution_backward


class DepthwiseStack(nn.Module):
    """Depthwise convolutions, ``weight`` (groups * C, 1, kernel, kernel), without bias.

    ``forward(x)``: ``x`` (N, C, H, W) is read by every group, or (N, groups * C, H, W) holds an input for each; returns
    (N, groups * C, H / stride, W / stride), group by group. Initialised as :class:`torch.nn.Conv2d`.
    """

    def __init__(self, channels: int, groups: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        width = channels * groups
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        like = nn.Conv2d(width, width, kernel, groups=width, bias=False)
        self.weight = nn.Parameter(like.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        stride, dilation = self.stride, self.dilation
        if stride == dilation == 2:  # reads even rows and columns only
            x, stride, dilation = x[:, :, ::2, ::2], 1, 1
        if x.device.type != "cpu":
            return _convolve(_spread(x, self.weight), self.weight, stride, dilation)
        return _Depthwise.apply(x, self.weight, stride, dilation)


def _spread(x: Tensor, weight: Tensor) -> Tensor:
    """``x`` once for every group of channels of ``weight``."""
    groups = weight.shape[0] // x.shape[1]
    return torch.cat([x] * groups, dim=1) if groups > 1 else x  # four times as fast as repeat


def _convolve(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    return functional.conv2d(x, weight, None, stride, padding, dilation, groups=weight.shape[0])


class _Depthwise(torch.autograd.Function):
    """The convolution with the gradients described above; keeps its input once, not once per group."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        return _convolve(_spread(x, weight), weight, stride, dilation)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(grad, x, weight, ctx.stride, ctx.dilation)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(grad, x, weight, ctx.stride, ctx.dilation)
        return grad_x, grad_weight, None, None


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    if stride == 1:
        spread = _convolve(grad, weight.flip(2, 3), 1, dilation)
    else:
        like = _spread(x, weight)
        spread = _builtin(grad, like, weight, stride, (weight.shape[-1] // 2,) * 2, (True, False))[0]
    total, *others = spread.split(x.shape[1], dim=1)
    if others:
        total = total + others[0]
        for other in others[1:]:
            total += other
    return total


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    if dilation == 2:
        grad, x = _phases(grad), _phases(x)
    kernel = weight.shape[-1]
    if kernel == 3:
        return _builtin(grad, _spread(x, weight), weight, stride, (1, 1), (False, True))[1]
    columns = stride * (grad.shape[3] - 1) + 3
    padded = functional.pad(x, (2, 2))
    gradient = torch.empty_like(weight)
    for j in (0, 2):  # the middle column is computed twice
        part = _spread(padded[..., j : j + columns], weight).contiguous(memory_format=torch.channels_last)
        gradient[..., j : j + 3] = _builtin(grad, part, weight[..., :3], stride, (2, 0), (False, True))[1]
    return gradient


def _builtin(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """PyTorch's own gradients with respect to the input and the weights, whichever are ``wanted``."""
    groups = weight.shape[0]
    mask = [*wanted, False]
    return _convolution_backward(grad, x, weight, None, [stride] * 2, padding, [1, 1], False, [0, 0], groups, mask)[:2]


def _phases(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (4 N, C, H / 2, W / 2): even and odd rows and columns as separate images, odd sides padded."""
    x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    count, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(count, height // 2, 2, width // 2, 2, channels)
    return x.permute(2, 4, 0, 1, 3, 5).reshape(4 * count, height // 2, width // 2, channels).permute(0, 3, 1, 2)
