"""Depthwise convolution and its gradients, in a form that is fast on a CPU.

oneDNN computes the forward pass and the 3x3 gradients quickly, but falls back to loops, ten to thirty times slower, for
the gradients of dilated kernels and for the weights of 5x5 kernels. Both can be expressed by what is quick:

* the gradient of the input (stride 1) is a forward convolution with the kernel turned by 180 degrees;
* a dilation of 2 is an ordinary convolution of each of the four phases (even and odd rows and columns) of the image,
  or, at stride 2, of the even phase alone;
* the gradient of a 5x5 kernel consists of the (overlapping) gradients of two 5x3 kernels on shifted images.

All functions take images (N, C, H, W) and a ``weight`` (groups * C, 1, k, k): every group of C channels convolves the
same image. With one group that is the usual depthwise convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_convolution_backward = torch.ops.aten.convolution_backward


def depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """(N, C, H, W) -> (N, groups * C, H / stride, W / stride), group by group; the padding keeps the size."""
    if stride == dilation == 2:  # reads even rows and columns only
        x, stride, dilation = x[:, :, ::2, ::2], 1, 1
    margin = _margin(x, weight, dilation)
    return _convolve(_spread(x, weight), _trim(weight, margin), stride, dilation)


def depthwise_input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """The gradient with respect to ``x``, given that of the output."""
    if stride == dilation == 2:
        inner = depthwise_input_gradient(grad, x[:, :, ::2, ::2], weight, 1, 1)
        whole = torch.zeros_like(x, memory_format=torch.channels_last)
        whole[:, :, ::2, ::2] = inner
        return whole
    weight = _trim(weight, _margin(x, weight, dilation))
    if stride == 1 and x.device.type == "cpu":
        spread = _convolve(grad, weight.flip(2, 3), 1, dilation)
    else:
        spread = _builtin(grad, _spread(x, weight), weight, stride, dilation, "input")
    total, *others = spread.split(x.shape[1], dim=1)
    if others:
        total = total + others[0]
        for other in others[1:]:
            total += other
    return total


def depthwise_weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """The gradient with respect to ``weight``, given that of the output."""
    if stride == dilation == 2:
        x, stride, dilation = x[:, :, ::2, ::2], 1, 1
    margin = _margin(x, weight, dilation)
    gradient = _trimmed_weight_gradient(grad, x, _trim(weight, margin), stride, dilation)
    return functional.pad(gradient, (margin,) * 4) if margin else gradient


def _trimmed_weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    if x.device.type != "cpu":
        return _builtin(grad, _spread(x, weight), weight, stride, dilation, "weight")
    if dilation == 2 and weight.shape[-1] > 1:
        grad, x = _phases(grad), _phases(x)
    if weight.shape[-1] <= 3:
        return _builtin(grad, _spread(x, weight), weight, stride, 1, "weight")
    gradient = torch.empty_like(weight)
    for j in (0, 2):  # the middle column is computed twice
        shifted = _spread(_shifted(x, right=j == 0), weight)
        gradient[..., j : j + 3] = _builtin(grad, shifted, weight[..., :3], stride, 1, "weight", padding=(2, 0))
    return gradient


def _shifted(x: Tensor, right: bool) -> Tensor:
    """``x`` with two columns of zeros on the left (which shifts it to the right) or on the right; channels_last."""
    count, channels, height, width = x.shape
    size = (count, channels, height, width + 2)
    out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    zeros, rest = (out[..., :2], out[..., 2:]) if right else (out[..., width:], out[..., :width])
    zeros.zero_()
    rest.copy_(x)
    return out


def _spread(x: Tensor, weight: Tensor) -> Tensor:
    """``x`` once for every group of channels of ``weight``."""
    groups = weight.shape[0] // x.shape[1]
    return torch.cat([x] * groups, dim=1) if groups > 1 else x  # four times as fast as repeat


def _margin(x: Tensor, weight: Tensor, dilation: int) -> int:
    """How many outer rows and columns of the kernel only ever meet padding, because the image is so small."""
    reach = (max(x.shape[2:]) - 1) // dilation
    return max(weight.shape[-1] // 2 - reach, 0)


def _trim(weight: Tensor, margin: int) -> Tensor:
    return weight[:, :, margin:-margin, margin:-margin] if margin else weight


def _convolve(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    return functional.conv2d(x, weight, None, stride, padding, dilation, groups=weight.shape[0])


def _builtin(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: int,
    dilation: int,
    wanted: str,
    padding: tuple[int, int] | None = None,
) -> Tensor:
    """PyTorch's own gradient with respect to the "input" or the "weight"."""
    pad = padding or (dilation * (weight.shape[-1] // 2),) * 2
    mask = [wanted == "input", wanted == "weight", False]
    gradients = _convolution_backward(
        grad, x, weight, None, [stride] * 2, pad, [dilation] * 2, False, [0, 0], weight.shape[0], mask
    )
    return gradients[mask.index(True)]


def _phases(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (4 N, C, H / 2, W / 2): even and odd rows and columns as separate images, odd sides padded."""
    if x.shape[2] % 2 or x.shape[3] % 2:  # padding by nothing would be a copy
        x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    count, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(count, height // 2, 2, width // 2, 2, channels)
    return x.permute(2, 4, 0, 1, 3, 5).reshape(4 * count, height // 2, width // 2, channels).permute(0, 3, 1, 2)
