"""Operations of one kind on several edges, stacked: a depthwise, a grouped 1x1 convolution, a normalisation for all.

The edges that leave a state read the same input, so their operations of one kind differ only in their parameters. Side
by side in the channel dimension they cost one kernel launch instead of one per edge. The weight of an operation in the
mixture (Eq. 1) enters as the scale of its last batch normalisation, which has no affine parameters otherwise: weighting
costs nothing, and the gradient of that scale is the gradient of the mixing weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.depthwise import depthwise_convolution
from nas.native.library import Geometry
from nas.operations import alternate_pixels
from nas.search.chain import Link, Norm, chain

# Compiled kernels compute a stack in pieces whose tensors fit into the cache of a core.
PIECE_BYTES = 2**20


class ScaledNorm(nn.BatchNorm2d):
    """Batch normalisation without affine parameters, times a given scale.

    ``forward(x, scale)``: ``x`` (N, C, H, W); ``scale`` (C,), or None for 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        return functional.batch_norm(x, mean, variance, scale, None, self.training, self.momentum or 0.0, self.eps)


class SeparableStack(nn.Module):
    """The separable convolutions of a state's edges: DARTS' sep_conv (applied twice) or dil_conv (once).

    ``groups[i]`` edges have the kernel ``kernels[i]``. The weighted outputs of the edges come in the order of the first
    kernel's edges, then the second's, as a list of pieces (N, some edges * C, H / stride, W / stride); ``scale``
    (sum(groups) * C,) holds the mixing weights in the same order, once for each channel.
    """

    def __init__(
        self, channels: int, kernels: Sequence[int], groups: Sequence[int], stride: int, dilation: int, repeats: int
    ) -> None:
        super().__init__()
        self.channels, self.groups, self.dilation = channels, tuple(groups), dilation
        self.strides = [stride] + [1] * (repeats - 1)
        width = channels * sum(groups)
        self.depthwise = nn.ModuleList(_depthwise_weights(channels, kernels, groups) for _ in self.strides)
        self.pointwise = nn.ParameterList(
            nn.Conv2d(width, width, 1, groups=sum(groups), bias=False).weight for _ in self.strides
        )
        self.norms = nn.ModuleList(ScaledNorm(width) for _ in self.strides)

    def forward(self, x: Tensor, scale: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
        """``x`` (N, C, H, W) is the state after the ReLU, ``kernels`` (groups * C, 1, k, k) all edges', by layer."""
        groups = sum(self.groups)
        # Every edge reads a copy of the state.
        x = x.permute(0, 2, 3, 1).unsqueeze(3).expand(-1, -1, -1, groups, -1).flatten(3).permute(0, 3, 1, 2)
        last = len(self.strides) - 1
        for layer, (stride, kernel, pointwise) in enumerate(zip(self.strides, kernels, self.pointwise)):
            x = depthwise_convolution(x, kernel, stride, self.dilation)
            x = functional.conv2d(x, pointwise, groups=groups)
            x = self.norms[layer](x, scale if layer == last else None)
            x = x if layer == last else functional.relu(x, inplace=True)
        return [x]

    def compiled(self, x: Tensor, scale: Tensor) -> list[Tensor]:
        """The same on compiled kernels, which apply the ReLU to ``x`` themselves."""
        pieces = self._pieces(x)
        widths = [sum(piece) * self.channels for piece in pieces]
        pointwise = [weight.split(widths) for weight in self.pointwise]
        kernels = [self._split_kernels(layer, pieces) for layer in range(len(self.strides))]
        outputs, first = [], 0
        for number, (width, weights) in enumerate(zip(widths, scale.split(widths))):
            links = [
                Link(kernels[layer][number], pointwise[layer][number], Geometry(stride, self.dilation), running)
                for layer, (stride, running) in enumerate(zip(self.strides, self._statistics(first, width)))
            ]
            norm = self.norms[0]
            assert isinstance(norm, ScaledNorm)
            outputs.append(chain(x, links, weights, Norm(norm.training, norm.eps, norm.momentum or 0.0)))
            first += width
        return outputs

    def _statistics(self, first: int, width: int) -> list[tuple[Tensor, Tensor]]:
        """Running mean and variance of ``width`` channels from ``first`` on, for each layer."""
        return [
            (
                norm.get_buffer("running_mean").narrow(0, first, width),
                norm.get_buffer("running_var").narrow(0, first, width),
            )
            for norm in self.norms
        ]

    def _pieces(self, x: Tensor) -> list[tuple[int, ...]]:
        """How many edges of each kernel every piece holds."""
        size = x.numel() // self.strides[0] ** 2 * x.element_size()
        at_once = max(PIECE_BYTES // size, 1)
        if sum(self.groups) <= at_once:
            return [self.groups]
        pieces = []
        for kernel, groups in enumerate(self.groups):
            for start in range(0, groups, at_once):
                piece = [0] * len(self.groups)
                piece[kernel] = min(at_once, groups - start)
                pieces.append(tuple(piece))
        return pieces

    def _split_kernels(self, layer: int, pieces: Sequence[Sequence[int]]) -> list[list[Tensor]]:
        """The depthwise weights of each piece, one tensor per kernel that it has."""
        weights: list[Tensor] = list(self.depthwise[layer].parameters())
        split = [
            weight.split([piece[kernel] * self.channels for piece in pieces]) for kernel, weight in enumerate(weights)
        ]
        return [[parts[number] for parts in split if len(parts[number])] for number in range(len(pieces))]


def _depthwise_weights(channels: int, kernels: Sequence[int], groups: Sequence[int]) -> nn.ParameterList:
    """One (groups * C, 1, k, k) tensor per kernel, initialised as :class:`torch.nn.Conv2d`."""
    widths = [channels * count for count in groups]
    return nn.ParameterList(
        nn.Conv2d(width, width, kernel, groups=width, bias=False).weight for kernel, width in zip(kernels, widths)
    )


class ReduceStack(nn.Module):
    """Strided skip-connects of ``groups`` edges: two 1x1 convolutions with stride 2, the second shifted by a pixel.

    ``forward(x, scale)``: ``x`` (N, C_in, H, W) is the state after the ReLU; returns (N, groups * C, H / 2, W / 2).
    """

    def __init__(self, channels_in: int, channels: int, groups: int = 1) -> None:
        super().__init__()
        self.groups = groups
        self.even = nn.Conv2d(channels_in, groups * (channels // 2), 1, bias=False)
        self.odd = nn.Conv2d(channels_in, groups * (channels - channels // 2), 1, bias=False)
        self.norm = ScaledNorm(channels * groups)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        first, second = alternate_pixels(x)
        even, odd = self.even(first), self.odd(second)
        if self.groups > 1:
            pairs = zip(even.chunk(self.groups, 1), odd.chunk(self.groups, 1))
            joined = torch.cat([half for pair in pairs for half in pair], dim=1)
        else:
            joined = torch.cat([even, odd], dim=1)
        return self.norm(joined, scale)


class Squeeze(nn.Module):
    """What brings an input of a cell to its channels: a 1x1 convolution and a normalisation, after the ReLU."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Conv2d(channels_in, channels, 1, bias=False).weight
        self.norm = ScaledNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(functional.conv2d(x, self.weight) if x.device.type != "cpu" else _product(x, self.weight))


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """A 1x1 convolution as a matrix product, which costs two thirds of it on a CPU."""
    return (x.permute(0, 2, 3, 1) @ weight[:, :, 0, 0].t()).permute(0, 3, 1, 2)


class SkipDropout(nn.Module):
    """Dropout after skip-connects (section 4.3.1): element-wise, at a rate that decays during a stage."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = 0.0

    @property
    def active(self) -> bool:
        """Whether this pass drops anything."""
        return self.training and self.rate > 0.0

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.rate) if self.active else x
