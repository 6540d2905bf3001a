"""Operations of one kind on several edges, stacked: a depthwise, a grouped 1x1 convolution, a normalisation for all.

The edges that leave a state read the same input, so their operations of one kind differ only in their parameters. Side
by side in the channel dimension they cost one kernel launch instead of one per edge. The weight of an operation in the
mixture (Eq. 1) enters as the scale of its last batch normalisation, which has no affine parameters otherwise: weighting
costs nothing, and the gradient of that scale is the gradient of the mixing weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.depthwise import depthwise_convolution
from nas.native.gpu import Groups, on_gpu
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
        return self.normalise(x, slice(None), scale)

    def normalise(self, x: Tensor, channels: slice, scale: Tensor | None) -> Tensor:
        """``x`` holds those ``channels`` alone; ``scale`` is one number for each of them."""
        mean, variance = self.get_buffer("running_mean")[channels], self.get_buffer("running_var")[channels]
        return functional.batch_norm(x, mean, variance, scale, None, self.training, self.momentum or 0.0, self.eps)


class SeparableStack(nn.Module):
    """The separable convolutions of some edges: DARTS' sep_conv (applied twice) or dil_conv (once).

    ``edges[k]`` lists, for each state that edges leave, those whose kernel is ``k``. The weighted outputs come in that
    order, as a list of pieces (N, some edges * C, H / stride, W / stride); ``scale`` (edges * C,) holds the mixing
    weights in the same order, once for each channel.
    """

    def __init__(
        self, channels: int, edges: Mapping[int, Sequence[Sequence[int]]], stride: int, dilation: int, repeats: int
    ) -> None:
        super().__init__()
        self.channels, self.dilation = channels, dilation
        self.strides = [stride] + [1] * (repeats - 1)
        self.counts = [[len(of_state) for of_state in by_state] for by_state in edges.values()]
        self.groups = sum(map(sum, self.counts))
        width = channels * self.groups
        self.depthwise = nn.ModuleList(
            nn.ParameterList(_depthwise_weight(channels * sum(count), k) for k, count in zip(edges, self.counts))
            for _ in self.strides
        )
        self.pointwise = nn.ParameterList(
            nn.Conv2d(width, width, 1, groups=self.groups, bias=False).weight for _ in self.strides
        )
        self.norms = nn.ModuleList(ScaledNorm(width) for _ in self.strides)
        sources = [source for count in self.counts for source, number in enumerate(count) for _ in range(number)]
        reaches = [k // 2 for k, count in zip(edges, self.counts) for _ in range(sum(count))]
        # The first layer reads the states, the second what the first has put out for each group.
        self.groups_of = nn.ModuleList(
            Groups(read, reaches, max(read) + 1) for read in (sources, list(range(self.groups)))[:repeats]
        )

    def forward(self, x: Tensor, scale: Tensor, kernels: Sequence[Tensor]) -> list[Tensor]:
        """``x`` (N, states * C, H, W) after the ReLU, ``kernels`` (edges * C, 1, k, k) by layer."""
        last = len(self.strides) - 1
        for layer, (kernel, pointwise) in enumerate(zip(kernels, self.pointwise)):
            x = self._convolve(x, layer, kernel, pointwise)
            x = self.norms[layer](x, scale if layer == last else None)
            x = x if layer == last else functional.relu(x, inplace=True)
        return [x]

    def _convolve(self, x: Tensor, layer: int, kernel: Tensor, pointwise: Tensor) -> Tensor:
        """Depthwise and 1x1 convolution of every group: one launch on a GPU, or PyTorch's convolutions."""
        stride, groups = self.strides[layer], self.groups_of[layer]
        assert isinstance(groups, Groups)
        if on_gpu(x, pointwise):
            from nas.native.separable_triton import separable

            return separable(x, kernel, pointwise, groups, Geometry(stride, self.dilation))
        x = self._spread(x) if layer == 0 else x
        x = depthwise_convolution(x, kernel, stride, self.dilation)
        return functional.conv2d(x, pointwise, groups=self.groups)

    def _spread(self, x: Tensor) -> Tensor:
        """For every edge a copy of the state that it reads."""
        pixels = x.permute(0, 2, 3, 1).unflatten(3, (-1, self.channels))
        if pixels.shape[3] == 1:
            pixels = pixels.expand(-1, -1, -1, self.groups, -1)
        else:
            pixels = pixels.index_select(3, self.groups_of[0].get_buffer("source"))
        return pixels.flatten(3).permute(0, 3, 1, 2)

    def compiled(self, states: Sequence[Tensor], scale: Tensor) -> list[Tensor]:
        """The same on compiled kernels, which apply the ReLU to ``states`` (N, C, H, W) themselves."""
        pieces = self._pieces(states[0])
        widths = [number * self.channels for _, _, number in pieces]
        pointwise = [weight.split(widths) for weight in self.pointwise]
        kernels = [self._split_kernels(layer, pieces) for layer in range(len(self.strides))]
        outputs, first = [], 0
        for number, (width, weights) in enumerate(zip(widths, scale.split(widths))):
            links = [
                Link([kernels[layer][number]], pointwise[layer][number], Geometry(stride, self.dilation), running)
                for layer, (stride, running) in enumerate(zip(self.strides, self._statistics(first, width)))
            ]
            outputs.append(chain(states[pieces[number][1]], links, weights, self._norm))
            first += width
        return outputs

    def single(self, state: Tensor, block: int, scale: Tensor | None, compiled: bool) -> Tensor:
        """Only the operation of one ``block`` of channels, on ``state`` (N, C, H, W) before the ReLU."""
        number, first = self._place(block)
        own, wide = slice(first, first + self.channels), slice(block * self.channels, (block + 1) * self.channels)
        weights = [
            (next(islice(kernels.parameters(), number, None))[own], pointwise[wide])
            for kernels, pointwise in zip(self.depthwise, self.pointwise)
        ]
        if compiled:
            running = self._statistics(wide.start, self.channels)
            links = [
                Link([depthwise], pointwise, Geometry(stride, self.dilation), moving)
                for (depthwise, pointwise), stride, moving in zip(weights, self.strides, running)
            ]
            ones = state.new_ones(self.channels) if scale is None else scale
            return chain(state, links, ones, self._norm)
        x, last = state, self.norms[-1]
        for (depthwise, pointwise), stride, norm in zip(weights, self.strides, self.norms):
            x = depthwise_convolution(functional.relu(x), depthwise, stride, self.dilation)
            x = functional.conv2d(x, pointwise)
            assert isinstance(norm, ScaledNorm)
            x = norm.normalise(x, wide, scale if norm is last else None)
        return x

    def _place(self, block: int) -> tuple[int, int]:
        """Which size of kernel a block has, and its first row among the kernels of that size."""
        for number, count in enumerate(self.counts):
            if block < sum(count):
                return number, block * self.channels
            block -= sum(count)
        raise IndexError(block)

    @property
    def _norm(self) -> Norm:
        norm = self.norms[0]
        assert isinstance(norm, ScaledNorm)
        return Norm(norm.training, norm.eps, norm.momentum or 0.0)

    def _statistics(self, first: int, width: int) -> list[tuple[Tensor, Tensor]]:
        """Running mean and variance of ``width`` channels from ``first`` on, for each layer."""
        running = [(norm.get_buffer("running_mean"), norm.get_buffer("running_var")) for norm in self.norms]
        return [(mean.narrow(0, first, width), variance.narrow(0, first, width)) for mean, variance in running]

    def _pieces(self, x: Tensor) -> list[tuple[int, int, int]]:
        """What is computed at once: number of the kernel, number of the state, how many edges."""
        at_once = max(PIECE_BYTES // (x.numel() // self.strides[0] ** 2 * x.element_size()), 1)
        return [
            (kernel, state, min(at_once, number - start))
            for kernel, count in enumerate(self.counts)
            for state, number in enumerate(count)
            for start in range(0, number, at_once)
        ]

    def _split_kernels(self, layer: int, pieces: Sequence[tuple[int, int, int]]) -> list[Tensor]:
        """The depthwise weights of each piece."""
        split: list[Tensor] = []
        for kernel, weight in enumerate(self.depthwise[layer].parameters()):
            split += weight.split([number * self.channels for own, _, number in pieces if own == kernel])
        return split


def _depthwise_weight(channels: int, kernel: int) -> Tensor:
    """(C, 1, k, k), initialised as :class:`torch.nn.Conv2d`."""
    return nn.Conv2d(channels, channels, kernel, groups=channels, bias=False).weight


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

    def single(self, x: Tensor, group: int, scale: Tensor | None) -> Tensor:
        """Only the skip-connect of one ``group``."""
        halves = [conv.weight.shape[0] // self.groups for conv in (self.even, self.odd)]
        outputs = [
            functional.conv2d(pixels, conv.weight[group * half : (group + 1) * half])
            for pixels, conv, half in zip(alternate_pixels(x), (self.even, self.odd), halves)
        ]
        channels = sum(halves)
        return self.norm.normalise(torch.cat(outputs, dim=1), slice(group * channels, (group + 1) * channels), scale)


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
