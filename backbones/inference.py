"""A network made ready for inference in PyTorch: ``fast = backbones.for_inference(network)``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from backbones.fold import fold
from backbones.rewrite import is_network_of_cells, rewritten

# What users read of a pyramid or a classifier beside its outputs.
_FACTS = ("out_indices", "channels", "strides", "mean", "std", "num_classes")


class InferenceNetwork(nn.Module):
    """What :func:`for_inference` gives: called like the network it was made of, and with its channels, strides, ..."""

    def __init__(self, network: nn.Module, of: nn.Module) -> None:
        super().__init__()
        self.network = network
        for name in _FACTS:
            if hasattr(of, name):
                setattr(self, name, getattr(of, name))
        self.eval()

    def forward(self, images: Tensor) -> Any:
        """(N, in_channels, H, W) -> what the network gives: logits, or a list of levels."""
        return self.network(images.contiguous(memory_format=torch.channels_last))


class CompiledNetwork(InferenceNetwork):
    """The same with ``torch.compile``; compiles at the first call with each size of input, so keep sizes few."""

    def __init__(self, network: nn.Module, of: nn.Module) -> None:
        super().__init__(network, of)
        self._compiled = torch.compile(network, dynamic=False)

    def forward(self, images: Tensor) -> Any:
        """(N, in_channels, H, W) -> what the network gives, without an autograd graph."""
        from torch._inductor import config  # imported late: it takes a second

        # Weights as constants, packed once for the CPU, and no Python between the kernels.
        with torch.no_grad(), config.patch(freezing=True, conv_1x1_as_mm=True, cpp_wrapper=True):
            return self._compiled(images)


def for_inference(network: nn.Module, *, compiled: bool = False) -> InferenceNetwork:
    """A copy of ``network`` (a backbone or a classification network) that is faster and gives the same outputs.

    Batch normalisation is folded, memory is ordered channels last, and a network of cells becomes a flat graph that
    computes every ReLU once (:mod:`backbones.rewrite`). It cannot be trained. ``compiled`` adds ``torch.compile``,
    which needs a C++ compiler and, at the first call, a minute.
    """
    fast = rewritten(network, in_place=not compiled) if is_network_of_cells(network) else fold(network)
    if compiled:
        return CompiledNetwork(fast, network)  # the compiler orders memory itself
    return InferenceNetwork(fast.to(memory_format=torch.channels_last), network)
