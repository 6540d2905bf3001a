"""Gradient checkpointing: less memory, and the network ends the step as it would without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module, *inputs: Any) -> Tensor:
    """``module(*inputs)`` whose activations are computed again in the backward pass instead of being kept.

    The second pass draws the same random numbers and does not update the running statistics of batch normalisation,
    which it would otherwise move twice a step.
    """
    return checkpoint(module, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _unrecorded(module)))


@contextmanager
def _unrecorded(module: nn.Module) -> Iterator[None]:
    """Within, batch normalisation reads the batch as before and adds it to its running statistics with weight 0."""
    norms: list[Any] = [
        m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training
    ]
    saved = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, momentum, batches in saved:
            norm.momentum = momentum
            norm.num_batches_tracked = batches
