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

from nas.search.separable import SeparableConvolutions


class ScaledNorm(nn.BatchNorm2d):
    """Batch normalisation without affine parameters, times a given scale per group of channels.

    ``forward(x, scale)``: ``x`` (N, groups * C, H, W); ``scale`` (groups,) or None for 1.
    """

    def __init__(self, channels: int, groups: int = 1) -> None:
        super().__init__(channels * groups, affine=False)
        self.channels = channels

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        if scale is not None:
            # Materialised: the channels_last backward of batch_norm reads an expanded weight as if it were contiguous.
            scale = scale[:, None].repeat(1, self.channels).reshape(-1)
        return functional.batch_norm(
            x, self.running_mean, self.running_var, scale, None, self.training, self.momentum or 0.0, self.eps
        )


class SeparableStack(nn.Module):
    """The separable convolutions of a state's edges: DARTS' sep_conv (applied twice) or dil_conv (once), both kernels.

    ``forward(x, scale)``: ``x`` (N, C, H, W) is the state after the ReLU; returns (N, sum(groups) * C, H / stride,
    W / stride), edge by edge for the first kernel, then for the second, each scaled by its entry of ``scale``.
    """

    def __init__(
        self, channels: int, kernels: Sequence[int], groups: Sequence[int], stride: int, dilation: int, repeats: int
    ) -> None:
        super().__init__()
        strides = [stride] + [1] * (repeats - 1)
        self.layers = nn.ModuleList(SeparableConvolutions(channels, kernels, groups, s, dilation) for s in strides)
        self.norms = nn.ModuleList(ScaledNorm(channels, sum(groups)) for _ in strides)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        last = len(self.norms) - 1
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms)):
            x = norm(layer(x), scale if index == last else None)
            if index < last:
                x = functional.relu(x, inplace=True)
        return x


class ReduceStack(nn.Module):
    """Strided skip-connects of ``groups`` edges: two 1x1 convolutions with stride 2, the second shifted by a pixel.

    ``forward(x, scale)``: ``x`` (N, C, H, W) is the state after the ReLU; returns (N, groups * C, H / 2, W / 2), like
    :class:`SeparableStack`.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups, self.channels = groups, channels
        self.even = nn.Conv2d(channels, groups * (channels // 2), 1, stride=2, bias=False)
        self.odd = nn.Conv2d(channels, groups * (channels - channels // 2), 1, stride=2, bias=False)
        self.norm = ScaledNorm(channels, groups)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        shifted = x[:, :, 1:, 1:]
        # An odd side has one row more at the even positions: a row of zeros brings both halves to the same size.
        pad = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
        if any(pad):
            shifted = functional.pad(shifted, pad)
        even, odd = self.even(x), self.odd(shifted)
        if self.groups > 1:
            pairs = zip(even.chunk(self.groups, 1), odd.chunk(self.groups, 1))
            joined = torch.cat([half for pair in pairs for half in pair], dim=1)
        else:
            joined = torch.cat([even, odd], dim=1)
        return self.norm(joined, scale)


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
