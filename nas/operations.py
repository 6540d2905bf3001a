"""The operations of a cell, one small module each, and the registry that names them.

All operations keep the number of channels and divide height and width by ``stride`` (rounding up). Convolutions follow
the order ReLU, convolution, batch normalisation of the DARTS space (P-DARTS, section 5.1.1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.errors import unknown

# The candidates of a search, in the order in which the architecture weights are stored (section 5.1.1).
SEARCH_SPACE = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


class ReLUConvBN(nn.Sequential):
    """ReLU, convolution (square kernel), batch normalisation: (N, in, H, W) -> (N, out, H / stride, W / stride)."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out, affine=affine),
        )


class FactorizedReduce(nn.Module):
    """Halve the resolution without a kernel: two strided 1x1 convolutions, the second shifted by one pixel.

    With ``stride`` set to 1 (see :func:`unstride`) both look at every pixel, with the same weights.
    """

    def __init__(self, channels_in: int, channels_out: int, affine: bool = True) -> None:
        super().__init__()
        self.stride = 2
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(channels_in, channels_out // 2, 1, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out - channels_out // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        if self.stride == 1:
            return self.norm(torch.cat([self.even(x), self.odd(x)], dim=1))
        even, odd = alternate_pixels(x)
        return self.norm(torch.cat([self.even(even), self.odd(odd)], dim=1))


def alternate_pixels(x: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels at even rows and columns, and those at odd ones; what a 1x1 convolution with stride 2 reads.

    An odd side has one row more at the even positions: a row of zeros brings both to the same size. They are picked
    before the convolution, not by its stride: the gradients of a strided 1x1 convolution of fewer than 16 channels in
    channels_last write outside their memory in PyTorch's oneDNN.
    """
    even, odd = x[:, :, ::2, ::2], x[:, :, 1::2, 1::2]
    pad = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
    return even, nn.functional.pad(odd, pad) if any(pad) else odd


def _depthwise(channels: int, kernel: int, stride: int, dilation: int) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)


class DilConv(nn.Sequential):
    """Dilated (2) depthwise-separable convolution: a field of view of 5 or 9 pixels from a kernel of 3 or 5."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True) -> None:
        super().__init__(
            nn.ReLU(),
            _depthwise(channels, kernel, stride, dilation=2),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class SepConv(nn.Sequential):
    """Depthwise-separable convolution, applied twice unless told otherwise; the first one takes the stride."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True, repeats: int = 2) -> None:
        layers: list[nn.Module] = []
        for step in (stride, *(1,) * (repeats - 1)):
            layers += [
                nn.ReLU(),
                _depthwise(channels, kernel, step, dilation=1),
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels, affine=affine),
            ]
        super().__init__(*layers)


class SpatialFactorConv(nn.Sequential):
    """A dense k x k convolution as 1 x k followed by k x 1, each taking the stride along its own side."""

    def __init__(self, channels: int, kernel: int, stride: int, affine: bool = True) -> None:
        pad = kernel // 2
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, pad), bias=False),
            nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (pad, 0), bias=False),
            nn.BatchNorm2d(channels, affine=affine),
        )


class Zero(nn.Module):
    """The operation "none": zeros of the size that ``stride`` leaves."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0.0


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)


OPERATIONS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "none": lambda _c, stride, _affine: Zero(stride),
    "max_pool_3x3": lambda _c, stride, _affine: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda _c, stride, _affine: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
    "skip_connect": _skip,
    "sep_conv_3x3": lambda c, stride, affine: SepConv(c, 3, stride, affine),
    "sep_conv_5x5": lambda c, stride, affine: SepConv(c, 5, stride, affine),
    "sep_conv_7x7": lambda c, stride, affine: SepConv(c, 7, stride, affine),
    "dil_conv_3x3": lambda c, stride, affine: DilConv(c, 3, stride, affine),
    "dil_conv_5x5": lambda c, stride, affine: DilConv(c, 5, stride, affine),
    "conv_7x1_1x7": lambda c, stride, affine: SpatialFactorConv(c, 7, stride, affine),
    "conv_3x1_1x3": lambda c, stride, affine: SpatialFactorConv(c, 3, stride, affine),
    "conv_3x3": lambda c, stride, affine: ReLUConvBN(c, c, 3, stride, affine),
    "max_pool_5x5": lambda _c, stride, _affine: nn.MaxPool2d(5, stride, padding=2),
    "sep_conv_3x3_1": lambda c, stride, affine: SepConv(c, 3, stride, affine, repeats=1),
}


def build_operation(name: str, channels: int, stride: int, affine: bool = True) -> nn.Module:
    """The operation ``name``: (N, channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)).

    Pooling has no batch normalisation here; the supernet adds its own (see :mod:`nas.search.supernet`).
    """
    if name not in OPERATIONS:
        raise unknown("operation", name, OPERATIONS)
    return OPERATIONS[name](channels, stride, affine)


def unstride(module: nn.Module) -> None:
    """Take the stride out of every layer below ``module`` and keep its weights: a reduction cell at full resolution.

    Part-based re-identification needs it (PCB keeps the last stage at stride 16); pretrained weights still fit.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
        elif hasattr(layer, "stride"):  # pooling, a strided skip, a strided "none"
            vars(layer)["stride"] = 1


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples of a path with probability ``rate`` and scale the rest, so that the expectation stays.

    ``x`` is (N, C, H, W). Used on every edge but the identity while training (section 5.1.2: 0.3 on CIFAR).
    """
    keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= rate
    return x * keep.to(x.dtype) / (1.0 - rate)
