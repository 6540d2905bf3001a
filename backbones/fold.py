"""Batch normalisation folded into the convolutions before it: the same function in evaluation, fewer operations."""

from __future__ import annotations

import copy
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.operations import FactorizedReduce
from nas.quick import restore

_Network = TypeVar("_Network", bound=nn.Module)
# What is a fixed scale and shift in evaluation.
_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


class FoldedReduce(nn.Module):
    """A :class:`nas.operations.FactorizedReduce` as convolutions alone: no slice, no padding that depends on the size.

    Each of its two convolutions puts out all channels, zero where the other has its own, and the two are added:
    runtimes fuse a sum into a convolution, while joining halves of 24 channels makes them reorder memory. The second
    reads pixels 1, 3, 5, ...: a depthwise convolution whose only weight that is not zero is a one picks them.
    """

    def __init__(self, reduce: FactorizedReduce) -> None:
        super().__init__()
        even, odd = _folded_halves(reduce)
        self.relu = nn.ReLU()
        self.even = _widened(even, odd.out_channels, first=True, stride=reduce.stride)
        self.odd = _widened(odd, even.out_channels, first=False, stride=1)
        self.shift = _second_pixels(odd.weight) if reduce.stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))."""
        x = self.relu(x)
        return self.even(x) + self.odd(self.shift(x))


def fold(network: _Network) -> _Network:
    """A copy of ``network`` for inference, in evaluation mode, whose batch normalisations became weights and biases.

    Folded is what directly follows a convolution in a ``Sequential``, and the normalisation of a factorized reduce
    (into its two convolutions). All others stay as they are.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    restore(network)  # training may have left its quick forms behind
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
        for name, child in list(module.named_children()):
            if isinstance(child, FactorizedReduce):
                module.add_module(name, FoldedReduce(child).eval().requires_grad_(False))
    return network


def _is_norm(module: nn.Module) -> TypeGuard[nn.BatchNorm2d | nn.SyncBatchNorm]:
    return type(module) in _NORMS  # timm's subclasses also hold the activation


def _fold_sequence(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        convolution, norm = sequence[index], sequence[index + 1]
        if type(convolution) is nn.Conv2d and _is_norm(norm):
            sequence[index] = fuse_conv_bn_eval(convolution, norm)
            sequence[index + 1] = nn.Identity()


def _folded_halves(reduce: FactorizedReduce) -> tuple[nn.Conv2d, nn.Conv2d]:
    """The first half of the channels comes from one convolution, the rest from the other: each takes its share."""
    assert _is_norm(reduce.norm)
    split = reduce.even.out_channels
    return (
        fuse_conv_bn_eval(reduce.even, _part(reduce.norm, slice(0, split))),
        fuse_conv_bn_eval(reduce.odd, _part(reduce.norm, slice(split, None))),
    )


def _part(norm: nn.BatchNorm2d | nn.SyncBatchNorm, channels: slice) -> nn.BatchNorm2d:
    assert norm.running_mean is not None
    mean = norm.running_mean[channels]
    part = nn.BatchNorm2d(mean.numel(), eps=norm.eps, affine=norm.affine).to(mean).eval()
    with torch.no_grad():
        for name, tensor in [*norm.named_parameters(), *norm.named_buffers()]:
            if tensor.ndim:
                getattr(part, name).copy_(tensor[channels])
    return part


@torch.no_grad()
def _widened(convolution: nn.Conv2d, channels: int, *, first: bool, stride: int) -> nn.Conv2d:
    """``convolution`` with ``channels`` more outputs, all zero, after its own if it comes ``first``, else before."""
    weight, bias = convolution.weight, convolution.bias
    assert bias is not None
    wide = nn.Conv2d(weight.shape[1], weight.shape[0] + channels, 1, stride).to(weight)
    own = slice(0, weight.shape[0]) if first else slice(channels, None)
    for mine, theirs in ((wide.weight, weight), (wide.bias, bias)):
        assert mine is not None
        mine.zero_()[own] = theirs
    return wide


@torch.no_grad()
def _second_pixels(like: Tensor) -> nn.Conv2d:
    """(N, C, H, W) -> pixels 1, 3, 5, ... of both sides, a zero after the last where a side is odd; C as in ``like``.

    Stride 2, two taps that are 2 apart, one pixel of padding: the taps of output i are at 2 i - 1 and 2 i + 1.
    """
    channels = like.shape[1]
    pick = nn.Conv2d(channels, channels, 2, 2, padding=1, dilation=2, groups=channels, bias=False).to(like)
    pick.weight.zero_()[:, :, 1, 1] = 1.0
    return pick
