"""Which separable convolutions of a supernet run on the kernels of :mod:`nas.native.separable_triton`, and their plan.

Triton comes with PyTorch for Linux and is imported when a tensor on a GPU asks for it; without it, or with
``NASWILD_NATIVE=0``, PyTorch's own convolutions compute the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn

_TYPES = (torch.float32, torch.bfloat16, torch.float16)
# Wider groups do not fit into the registers of a program.
MAX_CHANNELS = 128


class Groups(nn.Module):
    """Convolutions side by side: which state each reads, and how far its kernel reaches (1 for 3x3, 2 for 5x5)."""

    source: Tensor
    reach: Tensor
    readers: Tensor  # the groups, sorted by the state that they read
    starts: Tensor  # where each state's readers begin

    def __init__(self, sources: Sequence[int], reaches: Sequence[int], states: int) -> None:
        super().__init__()
        readers = sorted(range(len(sources)), key=sources.__getitem__)
        starts = [sum(source < state for source in sources) for state in range(states + 1)]
        values = {"source": sources, "reach": reaches, "readers": readers, "starts": starts}
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.int32), persistent=False)


def on_gpu(x: Tensor, pointwise: Tensor) -> bool:
    """Whether the Triton kernels can convolve ``x``, with 1x1 weights (groups * C, C, 1, 1) after depthwise ones."""
    return x.device.type == "cuda" and x.dtype in _TYPES and pointwise.shape[1] <= MAX_CHANNELS and available()


def refusal(x: Tensor, weights: Iterable[Tensor]) -> str | None:
    """Why the Triton kernels cannot do what :func:`on_gpu` asks for with some of ``weights``; None if they can."""
    if not available():
        return "Triton is not installed, or NASWILD_NATIVE is 0"
    if all(on_gpu(x, weight) for weight in weights):
        return None
    return f"the Triton kernels have at most {MAX_CHANNELS} channels, in float32, bfloat16 or float16"


@cache
def available() -> bool:
    """Whether Triton is there and wanted."""
    return os.environ.get("NASWILD_NATIVE") != "0" and find_spec("triton") is not None
