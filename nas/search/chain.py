"""Depthwise-separable convolutions, each with its normalisation, as one operation on compiled kernels (CPUs).

Between two convolutions nothing is written but what the first puts out: normalisation and rectifier happen while the
next one reads, forwards and backwards. For the backward pass it keeps the input and one tensor per convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.native import library
from nas.native.library import Affine, Geometry


@dataclass(frozen=True)
class Link:
    """One convolution of a chain: its weights, its geometry and the running statistics that its normalisation moves.

    ``kernels`` are (some groups * C, 1, k, k) for each size k, ``pointwise`` is (groups * C, C, 1, 1), ``running`` mean
    and variance (groups * C,).
    """

    kernels: Sequence[Tensor]
    pointwise: Tensor
    geometry: Geometry
    running: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Norm:
    """What the normalisations of a chain have in common; in training they use the batch's statistics."""

    training: bool
    eps: float
    momentum: float


def chain(x: Tensor, links: Sequence[Link], scale: Tensor, norm: Norm) -> Tensor:
    """``x`` (N, C, H, W) through rectifier, convolution and normalisation of each link, times ``scale`` by channel.

    Returns (N, groups * C, H / stride, W / stride), channels_last.
    """
    weights = [weight for link in links for weight in (*link.kernels, link.pointwise)]
    return _Chain.apply(x, scale, links, norm, *weights)


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, links: Sequence[Link], norm: Norm, *_weights: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.links = [_detached(link) for link in links]
        ctx.norm, ctx.affines, ctx.moments = norm, [None], []
        tensors = [x]
        for link in ctx.links:
            out, sums = library.convolve(
                tensors[-1], ctx.affines[-1], link.kernels, link.pointwise, link.geometry, sums=norm.training
            )
            count = out.numel() // out.shape[1]
            affine, moments = library.normalise(sums, count, norm.eps, norm.momentum, link.running)
            tensors.append(out)
            ctx.affines.append(affine)
            ctx.moments.append(moments)
        ctx.weight = scale.detach().contiguous()
        ctx.save_for_backward(*tensors)
        last = ctx.affines.pop()
        return library.scale_channels(out, Affine(last.scale * ctx.weight, last.shift * ctx.weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        wants_x, wants_scale, _, _, *wants = ctx.needs_input_grad
        grad: Any = grads[0].contiguous(memory_format=torch.channels_last)
        sums: Any = library.channel_sums(grad, tensors[-1])
        weight, dots = ctx.weight, []
        found: list[Tensor | None] = []
        for number in reversed(range(len(ctx.links))):
            link, x, out = ctx.links[number], tensors[number], tensors[number + 1]
            count = out.numel() // out.shape[1] if ctx.norm.training else 0
            factors, dot = library.normalise_backward(sums, ctx.moments[number], weight, count, x.dtype)
            dots.append(dot)
            *wants_kernels, wants_pointwise = wants[-len(link.kernels) - 1 :]
            del wants[-len(link.kernels) - 1 :]
            wanted = (number > 0 or wants_x, wants_kernels, wants_pointwise)
            affine = ctx.affines[number]
            gradients = library.convolve_backward(
                grad, out, factors, x, affine, link.kernels, link.pointwise, link.geometry, wanted
            )
            found = [*gradients.weights, gradients.pointwise, *found]
            grad, sums, weight = gradients.x, gradients.sums, None
        grad_scale = dots[0].to(tensors[0].dtype) if wants_scale else None
        return grad, grad_scale, None, None, *found


def _detached(link: Link) -> Link:
    """The link with its weights in the order that the compiled code reads, outside of the graph."""
    kernels = [weight.detach().contiguous() for weight in link.kernels]
    return Link(kernels, link.pointwise.detach().contiguous(), link.geometry, link.running)
