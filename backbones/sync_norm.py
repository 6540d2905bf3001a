"""Batch normalisation with the statistics of all processes, for any network."""

from __future__ import annotations

from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, distributed, nn


class SyncBatchNormAct(BatchNormAct2d):
    """timm's batch normalisation that also holds the activation, synchronised where processes train together.

    It is no :class:`torch.nn.SyncBatchNorm`: mmengine turns each of those into a plain batch normalisation wherever one
    process runs alone (``revert_sync_batchnorm``), and the activation inside would be lost.
    """

    process_group = None
    _check_non_zero_input_channels = nn.SyncBatchNorm._check_non_zero_input_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape, normalised and activated."""
        if not (self.training and distributed.is_available() and distributed.is_initialized()):
            return super().forward(x)
        return self.act(self.drop(nn.SyncBatchNorm.forward(self, x)))


def synchronised(module: nn.Module) -> nn.Module:
    """``module`` with every batch normalisation below it synchronised; weights and statistics stay."""
    for name, child in module.named_children():
        if type(child) is BatchNormAct2d:
            child.__class__ = SyncBatchNormAct
        elif isinstance(child, nn.modules.batchnorm._BatchNorm):
            module.add_module(name, convert_sync_batchnorm(child))
        else:
            synchronised(child)
    return module
