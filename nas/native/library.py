"""The functions of ``separable.cpp`` for tensors: channels_last, float32 or float64, on a CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nas.native import kernels

LANES = 4  # channels computed at a time, or 16
_NAMES = {torch.float32: "float", torch.float64: "double"}


class _Call(ctypes.Structure):
    """``Call`` of the source, field by field."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            *("images", "height", "width", "out_height", "out_width"),
            *("channels", "groups", "x_channels", "x_step", "out_channels"),
            *("kernel", "stride", "dilation", "threads"),
        )
    ] + [
        (name, ctypes.c_void_p)
        for name in (
            *("x", "x_scale", "x_shift", "depthwise", "pointwise", "out", "out_sums"),
            *("grad", "grad_scale", "out_scale", "grad_shift"),
            *("grad_x", "x_sums", "grad_depthwise", "grad_pointwise"),
        )
    ]


class Affine(NamedTuple):
    """Scale and shift of each channel."""

    scale: Tensor
    shift: Tensor


class Normalised(NamedTuple):
    """A batch normalisation: how it changes each channel, and mean and 1 / deviation (2, C) for the backward pass."""

    affine: Affine
    moments: Tensor


class Geometry(NamedTuple):
    """Stride and dilation of a convolution."""

    stride: int
    dilation: int


def supports(x: Tensor, weights: Iterable[Tensor]) -> bool:
    """Whether the compiled code can convolve ``x`` with 1x1 ``weights`` (groups * C, C, 1, 1) after depthwise ones."""
    return refusal(x, weights) is None


def refusal(x: Tensor, weights: Iterable[Tensor]) -> str | None:
    """Why the compiled code cannot do what :func:`supports` asks for; None if it can."""
    if x.device.type != "cpu":
        return "the compiled kernels are for CPUs"
    if kernels() is None:
        return "there are no compiled kernels"
    if x.dtype not in _NAMES or torch.is_autocast_enabled("cpu"):
        return "the compiled kernels have float32 and float64 only"
    for weight in weights:
        if weight.dtype != x.dtype:
            return f"images are {x.dtype}, weights {weight.dtype}"
        if weight.shape[1] % LANES:
            return f"{weight.shape[1]} channels are not a multiple of {LANES}, which the compiled kernels ask for"
    return None


def convolve(
    x: Tensor, affine: Affine | None, weights: Sequence[Tensor], pointwise: Tensor, geometry: Geometry, sums: bool
) -> tuple[Tensor, Tensor | None]:
    """Rectifier, depthwise and 1x1 convolution, and the sums (2, channels) of the output and its square if wanted.

    ``x`` goes through ``affine`` before the rectifier. The 1x1 convolution ``pointwise`` (groups * C, C, 1, 1) follows
    the depthwise ``weights``, one tensor (some groups * C, 1, k, k) for each size of kernel. ``x`` has C channels,
    which all groups read, or groups * C.
    """
    height, width = (-(-side // geometry.stride) for side in x.shape[2:])
    out = _empty(x, (x.shape[0], pointwise.shape[0], height, width))
    totals = [torch.zeros(2, weight.shape[0], dtype=torch.float64) if sums else None for weight in weights]
    for part, total in zip(_parts(x, weights, pointwise), totals):
        call = _call(x, out, part, pointwise, geometry, affine)
        call.out_sums = _at(total)
        _run("separable", x.dtype, ctypes.byref(call), 0)
    return out, torch.cat([total for total in totals if total is not None], dim=1) if sums else None


class Gradients(NamedTuple):
    """What :func:`convolve_backward` found; ``sums`` (2, channels) are of ``x`` and of ``x`` times its input."""

    x: Tensor | None
    weights: list[Tensor | None]
    pointwise: Tensor | None
    sums: Tensor | None


def convolve_backward(
    grad: Tensor,
    out: Tensor,
    factors: tuple[Tensor, Tensor, Tensor],
    x: Tensor,
    affine: Affine | None,
    weights: Sequence[Tensor],
    pointwise: Tensor,
    geometry: Geometry,
    wanted: tuple[bool, Sequence[bool], bool],
) -> Gradients:
    """Gradients of :func:`convolve`, those ``wanted`` of x, weights and pointwise.

    The gradient of ``out`` is ``grad * factors[0] + out * factors[1] + factors[2]`` by channel; that of ``x`` is the
    one of what its ``affine`` made of it.
    """
    own = affine is not None
    grad_x = _empty(x, x.shape).zero_() if wanted[0] else None
    grad_pointwise = torch.zeros(pointwise.shape, dtype=x.dtype) if wanted[2] else None
    grad_weights = [torch.zeros(w.shape, dtype=x.dtype) if want else None for w, want in zip(weights, wanted[1])]
    totals = [torch.zeros(2, weight.shape[0], dtype=torch.float64) for weight in weights] if own else None
    for number, part in enumerate(_parts(x, weights, pointwise)):
        call = _call(x, out, part, pointwise, geometry, affine)
        call.grad = _at(grad, part.first)
        call.grad_scale, call.out_scale, call.grad_shift = (_at(factor, part.first) for factor in factors)
        call.grad_x = _at(grad_x, part.x_first)
        call.x_sums = _at(totals[number]) if totals else None
        call.grad_depthwise = _at(grad_weights[number])
        call.grad_pointwise = _at(grad_pointwise, part.first * pointwise.shape[1])
        _run("separable", x.dtype, ctypes.byref(call), 1)
    return Gradients(grad_x, grad_weights, grad_pointwise, torch.cat(totals, dim=1) if totals else None)


def normalise(
    sums: Tensor | None, count: int, eps: float, momentum: float, running: tuple[Tensor, Tensor]
) -> Normalised:
    """Batch normalisation from ``sums`` (2, C) over ``count`` values, moving ``running``; without sums, from those."""
    mean, variance = running
    channels = len(mean)
    affine = Affine(torch.empty_like(mean), torch.empty_like(mean))
    moments = torch.empty(2, channels, dtype=torch.float64)
    numbers = (ctypes.c_int64(channels), *map(ctypes.c_double, (count, eps, momentum)))
    outputs = (_at(mean), _at(variance), _at(moments), _at(affine.scale), _at(affine.shift))
    _run("normalise", mean.dtype, _at(sums), *numbers, *outputs)
    return Normalised(affine, moments)


def normalise_backward(
    sums: Tensor, moments: Tensor, weight: Tensor | None, count: int, dtype: torch.dtype
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Factors for :func:`convolve_backward`, and the gradient (C,) of ``weight``; ``count`` 0: constant statistics."""
    channels = moments.shape[1]
    factors = (
        torch.empty(channels, dtype=dtype),
        torch.empty(channels, dtype=dtype),
        torch.empty(channels, dtype=dtype),
    )
    dot = torch.empty(channels, dtype=torch.float64)
    numbers = (ctypes.c_int64(channels), ctypes.c_double(count))
    outputs = (*map(_at, factors), _at(dot))
    _run("normalise_backward", dtype, _at(sums), _at(moments), _at(weight), *numbers, *outputs)
    return factors, dot


def scale_channels(x: Tensor, affine: Affine) -> Tensor:
    """``x * scale + shift`` by channel."""
    out = _empty(x, x.shape)
    _run("scale", x.dtype, _at(x), _at(affine.scale), _at(affine.shift), _at(out), *_pixels(x))
    return out


def channel_sums(a: Tensor, b: Tensor) -> Tensor:
    """Sums (2, C) over images and pixels of ``a`` and of ``a * b``."""
    sums = torch.zeros(2, a.shape[1], dtype=torch.float64)
    _run("sums", a.dtype, _at(a), _at(b), _at(sums), *_pixels(a))
    return sums


class _Part(NamedTuple):
    """The convolutions of one kernel size: their first channel in the output and in the input, their weight."""

    first: int
    x_first: int
    weight: Tensor


def _parts(x: Tensor, weights: Sequence[Tensor], pointwise: Tensor) -> list[_Part]:
    shared, parts, first = x.shape[1] == pointwise.shape[1], [], 0
    for weight in weights:
        parts.append(_Part(first, 0 if shared else first, weight))
        first += weight.shape[0]
    return parts


def _call(x: Tensor, out: Tensor, part: _Part, pointwise: Tensor, geometry: Geometry, affine: Affine | None) -> _Call:
    """What forward and backward pass have in common."""
    images, x_channels, height, width = x.shape
    channels, (stride, dilation) = pointwise.shape[1], geometry
    call = _Call(
        *(images, height, width, *out.shape[2:]),
        *(channels, part.weight.shape[0] // channels, x_channels, 0 if x_channels == channels else channels),
        *(out.shape[1], part.weight.shape[-1], stride, dilation, torch.get_num_threads()),
    )
    call.x, call.out = _at(x, part.x_first), _at(out, part.first)
    call.depthwise, call.pointwise = _at(part.weight), _at(pointwise, part.first * channels)
    if affine is not None:
        call.x_scale, call.x_shift = _at(affine.scale, part.x_first), _at(affine.shift, part.x_first)
    return call


def _empty(x: Tensor, size: Sequence[int]) -> Tensor:
    return torch.empty(tuple(size), dtype=x.dtype, memory_format=torch.channels_last)


def _pixels(x: Tensor) -> tuple[ctypes.c_int64, ctypes.c_int64]:
    return ctypes.c_int64(x.numel() // x.shape[1]), ctypes.c_int64(x.shape[1])


def _at(tensor: Tensor | None, position: int = 0) -> ctypes.c_void_p:
    """The address of a value by its position in memory; in channels_last, of a channel of the first pixel."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr() + position * tensor.element_size())


def _run(name: str, dtype: torch.dtype, *arguments: object) -> None:
    if getattr(kernels(), f"{name}_{_NAMES[dtype]}")(*arguments):
        raise RuntimeError(f"no compiled code for this call of {name}, although supports() said so")
