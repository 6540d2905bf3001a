"""The gradients of a whole batch from its parts, over this process's parts and over the processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nas.loading import Batch
from nas.search.capture import Computed
from nas.search.team import Team


def over_parts(
    team: Team, statistics: Sequence[Tensor], batches: Sequence[Batch], compute: Callable[[int, Batch], Computed]
) -> Computed:
    """Sums of what ``compute(part, batch)`` gives for every part of a batch; ``batches`` are this process's.

    ``statistics``, the running statistics of batch normalisation, move once: each part moves them from where they were
    before the step, and they become the mean of that. So it does not matter which process computes a part.
    """
    if team.accumulate == 1:
        total = compute(team.rank, batches[0])
    else:
        total = _one_after_the_other(team, statistics, batches, compute)
    team.add_up([total.figures, *total.gradients], statistics)
    return total


def _one_after_the_other(
    team: Team, statistics: Sequence[Tensor], batches: Sequence[Batch], compute: Callable[[int, Batch], Computed]
) -> Computed:
    live = list(statistics)
    start = [value.clone() for value in live]
    mean = [torch.zeros_like(value) for value in live]
    total: Computed | None = None
    for part, batch in zip(team.mine, batches, strict=True):
        torch._foreach_copy_(live, start)
        computed = compute(part, batch)
        torch._foreach_add_(mean, live, alpha=1 / team.accumulate)
        if total is None:  # the next part may write to the same memory
            total = Computed(computed.figures.clone(), [gradient.clone() for gradient in computed.gradients])
        else:
            total.figures.add_(computed.figures)
            torch._foreach_add_(total.gradients, computed.gradients)
    torch._foreach_copy_(live, mean)
    assert total is not None  # a process has at least one part
    return total
