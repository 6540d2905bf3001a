"""DARTS' separable convolutions in training as one operation on compiled kernels, each with its batch normalisation.

Between two convolutions nothing is written but what the first puts out: normalisation and rectifier happen while the
next one reads, forwards and backwards. Without a compiler, or where it was not measured to be faster, PyTorch's layers
are used, see :func:`applies`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nas.native import library
from nas.native.library import Affine, Geometry

LANES = 16  # channels that one instruction computes; other widths are not faster than oneDNN


def applies(operation: nn.Sequential, x: Tensor) -> bool:
    """Whether :func:`separable` is for this ``operation`` (``SepConv``, ``DilConv``): in a training step on a CPU."""
    channels = x.shape[1]
    return (
        operation.training
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and x.device.type == "cpu"
        and channels % LANES == 0
        and all(_fits(layer) for layer in operation)
        and library.supports(x, [layer.weight for layer in _convolutions(operation)[1::2]])
    )


def _convolutions(operation: nn.Sequential) -> list[nn.Conv2d]:
    """Depthwise and 1x1 in turn."""
    return [layer for layer in operation if isinstance(layer, nn.Conv2d)]


def _fits(layer: nn.Module) -> bool:
    if isinstance(layer, nn.BatchNorm2d):
        return layer.affine and layer.track_running_stats and layer.momentum is not None
    return not isinstance(layer, nn.Conv2d) or layer.kernel_size in ((1, 1), (3, 3), (5, 5))


def separable(operation: nn.Sequential, x: Tensor) -> Tensor:
    """``operation`` on ``x`` (N, C, H, W), from its first ReLU to its last batch normalisation.

    It moves the running statistics as the layers would.
    """
    convolutions = _convolutions(operation)
    norms = [layer for layer in operation if isinstance(layer, nn.BatchNorm2d)]
    weights: list[Tensor] = []
    for depthwise, pointwise, norm in zip(convolutions[::2], convolutions[1::2], norms, strict=True):
        weights += [depthwise.weight, pointwise.weight, norm.weight, norm.bias]
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
    geometry = [Geometry(conv.stride[0], conv.dilation[0]) for conv in convolutions[::2]]
    return _Separable.apply(x, geometry, norms, *weights)


class _Separable(torch.autograd.Function):
    """Rectifier, depthwise and 1x1 convolution, normalisation: once or twice; four weights each time."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, geometry: Sequence[Geometry], norms: Sequence[nn.BatchNorm2d], *weights: Tensor
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        images: list[Tensor] = [x]
        affine: Any = None
        ctx.affines, ctx.moments, ctx.geometry = [], [], geometry
        for number, norm in enumerate(norms):
            depthwise, pointwise, gamma, beta = (weight.contiguous() for weight in weights[4 * number : 4 * number + 4])
            ctx.affines.append(affine)
            out, sums = library.convolve(images[-1], affine, [depthwise], pointwise, geometry[number], sums=True)
            running = (norm.running_mean, norm.running_var)
            found = library.normalise(sums, _count(out), norm.eps, float(norm.momentum or 0.0), running)  # type: ignore[arg-type]
            affine = Affine(found.affine.scale * gamma, found.affine.shift * gamma + beta)
            ctx.moments.append(found.moments)
            images.append(out)
        ctx.save_for_backward(*images, *weights)
        return library.scale_channels(images[-1], affine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        links, saved = len(ctx.moments), ctx.saved_tensors
        images, weights = saved[: links + 1], saved[links + 1 :]
        grad: Any = grads[0].contiguous(memory_format=torch.channels_last)
        sums: Any = library.channel_sums(grad, images[-1])
        found: list[Any] = []
        for number in reversed(range(links)):
            depthwise, pointwise, gamma, _ = (weight.contiguous() for weight in weights[4 * number : 4 * number + 4])
            out, dtype = images[number + 1], images[0].dtype
            factors, grad_gamma = library.normalise_backward(sums, ctx.moments[number], gamma, _count(out), dtype)
            gradients = library.convolve_backward(
                grad, out, factors, images[number], ctx.affines[number], [depthwise], pointwise, ctx.geometry[number],
                (number > 0 or ctx.needs_input_grad[0], [True], True),
            )  # fmt: skip
            found = [*gradients.weights, gradients.pointwise, grad_gamma.to(dtype), sums[0].to(dtype), *found]
            grad, sums = gradients.x, gradients.sums
        return grad, None, None, *map(_in_strides_of, weights, found)


def _in_strides_of(weight: Tensor, grad: Tensor) -> Tensor:
    """``grad`` laid out as its weight, which data parallelism asks for."""
    return torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype).copy_(grad)


def _count(image: Tensor) -> int:
    """Values of a channel."""
    return image.numel() // image.shape[1]
