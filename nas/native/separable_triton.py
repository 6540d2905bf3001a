"""Many depthwise-separable convolutions at once on a GPU, in Triton: one kernel forwards, two backwards.

A group of C output channels is one convolution: it reads one state of C channels of the input, filters it and mixes the
channels. What a group reads and how large its kernel is are in
:class:`nas.native.gpu.Groups`, so that 3x3 and 5x5 kernels on
several states cost one launch, and what lies between the depthwise and the 1x1 convolution is never written. Sums are
taken in a fixed order: the same numbers in every run.

    out[p, g] = sum_i pointwise[g, :, i] * sum_t depthwise[g, i, t] * x[p + t, source(g), i]

All tensors are channels_last. Sums are float32; products of matrices are as precise as PyTorch's convolutions are set
to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from nas.native.gpu import Groups
from nas.native.library import Geometry

# Programs that share the sums of the weights' gradients: a few for each multiprocessor of a large GPU.
PROGRAMS = 1024
# Arguments that differ from call to call: one compiled kernel serves all.
SIZES = ("height", "width", "out_height", "out_width", "states", "groups", "dilation", "pixels")


def separable(x: Tensor, depthwise: Tensor, pointwise: Tensor, groups: Groups, geometry: Geometry) -> Tensor:
    """``x`` (N, states * C, H, W) -> (N, groups * C, H / stride, W / stride).

    ``depthwise`` is (groups * C, 1, k, k), smaller kernels with zeros around; ``pointwise`` (groups * C, C, 1, 1).
    """
    if torch.is_autocast_enabled(x.device.type):  # autocast does not look into a Function
        dtype = torch.get_autocast_dtype(x.device.type)
        x, depthwise, pointwise = x.to(dtype), depthwise.to(dtype), pointwise.to(dtype)
    out: Tensor = _Separable.apply(x, depthwise, pointwise, groups, geometry)
    return out


class _Separable(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, depthwise: Tensor, pointwise: Tensor, groups: Groups, geometry: Geometry
    ) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        depthwise, pointwise = depthwise.contiguous(), pointwise.contiguous()
        ctx.save_for_backward(x, depthwise, pointwise)
        ctx.groups, ctx.geometry = groups, geometry
        height, width = (-(-side // geometry.stride) for side in x.shape[2:])
        out = _empty(x, (x.shape[0], len(pointwise), height, width))
        shape = _shape(x, out, depthwise, pointwise, geometry)
        grid = (triton.cdiv(_pixels(out), shape["BLOCK"]), len(groups.source))
        _convolve[grid](x, depthwise, pointwise, out, groups.source, groups.reach, _pixels(out), **shape)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, depthwise, pointwise = ctx.saved_tensors
        groups, geometry = ctx.groups, ctx.geometry
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        shape = _shape(x, grad, depthwise, pointwise, geometry)
        count, channels, taps = len(groups.source), shape["C"], shape["K"] ** 2
        tiles = triton.cdiv(_pixels(grad), shape["BLOCK"])
        wants_x, *wants = ctx.needs_input_grad[:3]
        parts = min(tiles, triton.cdiv(PROGRAMS, count)) if any(wants) else tiles
        between = _empty(x, grad.shape)  # the gradient of what lies between the two convolutions
        if any(wants):
            sums = torch.empty(parts, count, channels, taps, device=x.device, dtype=torch.float32)
            products = torch.empty(parts, count, channels, channels, device=x.device, dtype=torch.float32)
        else:
            sums = products = between  # not touched
        pointers = (x, depthwise, pointwise, grad, between, sums, products, groups.source, groups.reach)
        _differentiate[(parts, count)](*pointers, _pixels(grad), tiles, **shape, WEIGHTS=any(wants))
        grad_x = None
        if wants_x:
            grad_x = _empty(x, x.shape)
            grid = (triton.cdiv(_pixels(x), shape["BLOCK"]), x.shape[1] // channels)
            readers = (groups.starts, groups.readers, groups.reach)
            _transpose[grid](between, depthwise, grad_x, *readers, _pixels(x), **shape)
        found = [
            total.sum(0).view_as(weight).to(weight.dtype) if want else None
            for total, weight, want in zip((sums, products), (depthwise, pointwise), wants)
        ]
        return grad_x, *found, None, None


def _shape(x: Tensor, out: Tensor, depthwise: Tensor, pointwise: Tensor, geometry: Geometry) -> dict[str, Any]:
    """What describes a call; the names in capitals are compiled into the kernels."""
    channels = pointwise.shape[1]
    states, groups = x.shape[1] // channels, out.shape[1] // channels
    sizes = (*x.shape[2:], *out.shape[2:], states, groups, geometry.dilation)
    padded = max(16, triton.next_power_of_2(channels))
    exact = x.dtype == torch.float32 and not torch.backends.cudnn.allow_tf32
    return {
        **dict(zip(SIZES, sizes)),
        "C": channels,
        "PADDED": padded,
        "K": depthwise.shape[-1],
        "STRIDE": geometry.stride,
        "BLOCK": 128 if padded <= 32 else 64,
        "PRECISION": "ieee" if exact else "tf32",
        "num_warps": 4 if padded <= 32 else 8,
    }


def _empty(x: Tensor, size: Sequence[int]) -> Tensor:
    return torch.empty(tuple(size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _pixels(x: Tensor) -> int:
    return x.numel() // x.shape[1]


@triton.jit(do_not_specialize=SIZES)
def _convolve(
    x, depthwise, pointwise, out, source, reach, pixels,
    height, width, out_height, out_width, states, groups, dilation,
    C: tl.constexpr, PADDED: tl.constexpr, K: tl.constexpr, STRIDE: tl.constexpr, BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """A tile of output pixels of one group."""
    group = tl.program_id(1)
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = pixel < pixels
    channel = tl.arange(0, PADDED)
    inside = channel < C
    image, row, column = pixel // (out_height * out_width), pixel // out_width % out_height, pixel % out_width
    first, radius = tl.load(source + group) * C, tl.load(reach + group)
    filtered = tl.zeros((BLOCK, PADDED), dtype=tl.float32)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            y, z = row * STRIDE + dy * dilation, column * STRIDE + dx * dilation
            there = valid & (y >= 0) & (y < height) & (z >= 0) & (z < width)
            at = ((image * height + y) * width + z) * (states * C) + first
            value = tl.load(x + at[:, None] + channel[None, :], mask=there[:, None] & inside[None, :], other=0.0)
            tap = (dy + K // 2) * K + dx + K // 2
            weight = tl.load(depthwise + (group * C + channel) * K * K + tap, mask=inside, other=0.0)
            filtered += value.to(tl.float32) * weight.to(tl.float32)[None, :]
    # (input channel, output channel)
    at = (group * C + channel[None, :]) * C + channel[:, None]
    mixing = tl.load(pointwise + at, mask=inside[None, :] & inside[:, None], other=0.0)
    mixed = tl.dot(filtered.to(mixing.dtype), mixing, input_precision=PRECISION)
    at = pixel[:, None] * (groups * C) + group * C + channel[None, :]
    tl.store(out + at, mixed.to(out.dtype.element_ty), mask=valid[:, None] & inside[None, :])


@triton.jit(do_not_specialize=[*SIZES, "tiles"])
def _differentiate(
    x, depthwise, pointwise, grad, between, sums, products, source, reach, pixels, tiles,
    height, width, out_height, out_width, states, groups, dilation,
    C: tl.constexpr, PADDED: tl.constexpr, K: tl.constexpr, STRIDE: tl.constexpr, BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    WEIGHTS: tl.constexpr,
):  # fmt: skip
    """The gradient between the two convolutions; with WEIGHTS also a program's share of the weights' gradients."""
    part, group, parts = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    channel = tl.arange(0, PADDED)
    inside = channel < C
    square = inside[None, :] & inside[:, None]
    # (output channel, input channel)
    mixing = tl.load(pointwise + (group * C + channel[:, None]) * C + channel[None, :], mask=square, other=0.0)
    first, radius = tl.load(source + group) * C, tl.load(reach + group)
    TAPS: tl.constexpr = 32 if K * K <= 32 else 64
    taps = tl.arange(0, TAPS)
    sum_of_taps = tl.zeros((TAPS, PADDED), dtype=tl.float32)
    product = tl.zeros((PADDED, PADDED), dtype=tl.float32)
    for tile in range(part, tiles, parts):
        pixel = (tile * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
        valid = pixel < pixels
        image, row, column = pixel // (out_height * out_width), pixel // out_width % out_height, pixel % out_width
        own = pixel[:, None] * (groups * C) + group * C + channel[None, :]
        mask = valid[:, None] & inside[None, :]
        incoming = tl.load(grad + own, mask=mask, other=0.0)
        inner = tl.dot(incoming, mixing.to(incoming.dtype), input_precision=PRECISION)
        tl.store(between + own, inner.to(between.dtype.element_ty), mask=mask)
        if WEIGHTS:
            filtered = tl.zeros((BLOCK, PADDED), dtype=tl.float32)
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    y, z = row * STRIDE + dy * dilation, column * STRIDE + dx * dilation
                    there = valid & (y >= 0) & (y < height) & (z >= 0) & (z < width)
                    at = ((image * height + y) * width + z) * (states * C) + first
                    value = tl.load(
                        x + at[:, None] + channel[None, :], mask=there[:, None] & inside[None, :], other=0.0
                    ).to(tl.float32)
                    tap = (dy + K // 2) * K + dx + K // 2
                    weight = tl.load(depthwise + (group * C + channel) * K * K + tap, mask=inside, other=0.0)
                    filtered += value * weight.to(tl.float32)[None, :]
                    sum_of_taps += tl.where(taps[:, None] == tap, tl.sum(value * inner, axis=0)[None, :], 0.0)
            product += tl.dot(tl.trans(incoming), filtered.to(incoming.dtype), input_precision=PRECISION)
    if WEIGHTS:
        place = (part.to(tl.int64) * tl.num_programs(1) + group) * C
        at = (place + channel[None, :]) * K * K + taps[:, None]
        tl.store(sums + at, sum_of_taps, mask=inside[None, :] & (taps < K * K)[:, None])
        tl.store(products + (place + channel[:, None]) * C + channel[None, :], product, mask=square)


@triton.jit(do_not_specialize=SIZES)
def _transpose(
    between, depthwise, grad_x, starts, readers, reach, pixels,
    height, width, out_height, out_width, states, groups, dilation,
    C: tl.constexpr, PADDED: tl.constexpr, K: tl.constexpr, STRIDE: tl.constexpr, BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,  # noqa: ARG001
):  # fmt: skip
    """The gradient of a tile of pixels of one state: what all its readers send back."""
    state = tl.program_id(1)
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = pixel < pixels
    channel = tl.arange(0, PADDED)
    inside = channel < C
    image, row, column = pixel // (height * width), pixel // width % height, pixel % width
    total = tl.zeros((BLOCK, PADDED), dtype=tl.float32)
    for reader in range(tl.load(starts + state), tl.load(starts + state + 1)):
        group = tl.load(readers + reader)
        radius = tl.load(reach + group)
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                y, z = row - dy * dilation, column - dx * dilation
                there = valid & (y >= 0) & (z >= 0) & (y % STRIDE == 0) & (z % STRIDE == 0)
                y, z = y // STRIDE, z // STRIDE
                there = there & (y < out_height) & (z < out_width)
                at = ((image * out_height + y) * out_width + z) * (groups * C) + group * C
                value = tl.load(
                    between + at[:, None] + channel[None, :], mask=there[:, None] & inside[None, :], other=0.0
                )
                tap = (dy + K // 2) * K + dx + K // 2
                weight = tl.load(depthwise + (group * C + channel) * K * K + tap, mask=inside, other=0.0)
                total += value.to(tl.float32) * weight.to(tl.float32)[None, :]
    at = pixel[:, None] * (states * C) + state * C + channel[None, :]
    tl.store(grad_x + at, total.to(grad_x.dtype.element_ty), mask=valid[:, None] & inside[None, :])
