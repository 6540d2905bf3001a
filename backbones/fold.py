"""Batch normalisation folded into the convolutions before it: the same function in evaluation, fewer operations."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.operations import FactorizedReduce

_Network = TypeVar("_Network", bound=nn.Module)


def fold(network: _Network) -> _Network:
    """A copy of ``network`` for inference, in evaluation mode, whose batch normalisations became weights and biases.

    Folded is what directly follows a convolution in a ``Sequential``, and the normalisation of a factorized reduce
    (into its two convolutions). All others stay as they are.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
        elif isinstance(module, FactorizedReduce) and isinstance(module.norm, nn.BatchNorm2d):
            _fold_halves(module, module.norm)
    return network


def _fold_sequence(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        convolution, norm = sequence[index], sequence[index + 1]
        if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            sequence[index] = fuse_conv_bn_eval(convolution, norm)
            sequence[index + 1] = nn.Identity()


def _fold_halves(reduce: FactorizedReduce, norm: nn.BatchNorm2d) -> None:
    """The first half of the channels comes from one convolution, the rest from the other: each takes its share."""
    split = reduce.even.out_channels
    reduce.even = fuse_conv_bn_eval(reduce.even, _part(norm, slice(0, split)))
    reduce.odd = fuse_conv_bn_eval(reduce.odd, _part(norm, slice(split, None)))
    reduce.add_module("norm", nn.Identity())


def _part(norm: nn.BatchNorm2d, channels: slice) -> nn.BatchNorm2d:
    assert norm.running_mean is not None
    part = nn.BatchNorm2d(norm.running_mean[channels].numel(), eps=norm.eps, affine=norm.affine).eval()
    with torch.no_grad():
        for name, tensor in [*norm.named_parameters(), *norm.named_buffers()]:
            if tensor.ndim:
                getattr(part, name).copy_(tensor[channels])
    return part
