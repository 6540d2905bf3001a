"""Which kernels convolve the images of a search, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from nas.native import gpu, kernels, library, status


class Choice(NamedTuple):
    """Whether the compiled kernels compute the separable convolutions, and in words what does, for the result."""

    compiled: bool
    words: str


def choose(x: Tensor, weights: Sequence[Tensor]) -> Choice:
    """What convolves ``x`` (N, C, H, W) with all 1x1 ``weights`` (groups * C, C, 1, 1) after depthwise ones."""
    if x.device.type != "cpu":
        refused = gpu.refusal(x, weights)
        return Choice(False, f"PyTorch ({refused})" if refused else "Triton kernels")
    refused = library.refusal(x, weights)
    if refused is None:
        return Choice(True, "native kernels")
    return Choice(False, status() if kernels() is None else f"PyTorch ({refused})")
