"""Operations of one type on several edges, stacked: one depthwise, one grouped 1x1 convolution, one normalisation.

The edges that leave a state read the same input, so their operations of one type differ only in their parameters. Side
by side in the channel dimension they cost one kernel launch instead of one per edge. The weight of an operation in the
mixture (Eq. 1) enters as the scale of its last batch normalisation, which has no affine parameters otherwise: weighting
costs nothing, and the gradient of that scale is the gradient of the mixing weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.search.depthwise import DepthwiseStack


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
    """Depthwise-separable convolutions of ``groups`` edges: DARTS' sep_conv (applied twice) or dil_conv (once).

    ``forward(x, scale)``: ``x`` (N, C, H, W) is the state after the ReLU; returns (N, groups * C, H / stride,
    W / stride), edge by edge, each scaled by its entry of ``scale`` (groups,).
    """

    def __init__(self, channels: int, groups: int, kernel: int, stride: int, dilation: int, repeats: int) -> None:
        super().__init__()
        width = channels * groups
        strides = [stride] + [1] * (repeats - 1)
        self.depthwise = nn.ModuleList(DepthwiseStack(channels, groups, kernel, s, dilation) for s in strides)
        self.pointwise = nn.ModuleList(nn.Conv2d(width, width, 1, groups=groups, bias=False) for _ in strides)
        self.norms = nn.ModuleList(ScaledNorm(channels, groups) for _ in strides)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        last = len(self.norms) - 1
        for index, (depthwise, pointwise, norm) in enumerate(zip(self.depthwise, self.pointwise, self.norms)):
            x = norm(pointwise(depthwise(x)), scale if index == last else None)
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


_SEPARABLE = {  # kernel, dilation, repeats
    "sep_conv_3x3": (3, 1, 2),
    "sep_conv_5x5": (5, 1, 2),
    "dil_conv_3x3": (3, 2, 1),
    "dil_conv_5x5": (5, 2, 1),
}


def build_stack(name: str, channels: int, groups: int, stride: int) -> nn.Module | None:
    """The stack of an operation that has parameters, None for one without (pooling, identity, "none")."""
    if name in _SEPARABLE:
        kernel, dilation, repeats = _SEPARABLE[name]
        return SeparableStack(channels, groups, kernel, stride, dilation, repeats)
    if name == "skip_connect" and stride == 2:
        return ReduceStack(channels, groups)
    return None
