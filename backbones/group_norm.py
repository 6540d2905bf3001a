"""Group normalisation (arXiv 1803.08494) in the place of batch normalisation, for training with few images a device."""

from __future__ import annotations

from math import gcd

from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_GROUPS = 32


def grouped(module: nn.Module) -> nn.Module:
    """``module`` with each batch normalisation replaced by one over 32 groups of channels, or the most that fit."""
    if isinstance(module, _BatchNorm):
        norm: nn.Module = nn.GroupNorm(gcd(_GROUPS, module.num_features), module.num_features, affine=module.affine)
        if isinstance(module, BatchNormAct2d):  # timm's layer that also holds the activation
            return nn.Sequential(norm, module.drop, module.act)
        return norm
    for name, child in module.named_children():
        module.add_module(name, grouped(child))
    return module
