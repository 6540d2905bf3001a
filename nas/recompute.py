"""Gradient checkpointing: less memory, and the network ends the step as it would without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module, *inputs: Tensor) -> Tensor:
    """``module(*inputs)`` whose activations are computed again in the backward pass instead of being kept.

    The second pass draws the same random numbers and does not update the running statistics of batch normalisation,
    which it would otherwise move twice a step.
    """
    return checkpoint(module, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _unrecorded(module)))


@contextmanager
def _unrecorded(module: nn.Module) -> Iterator[None]:
    norms: list[Any] = [
        m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training
    ]
    for norm in norms:
        norm.track_running_stats = False  # in training: normalise with the batch, record nothing
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
