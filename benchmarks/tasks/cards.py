"""Graphics cards for jobs that several processes share."""

from __future__ import annotations


def fit(processes: int, cards: int | None = None) -> int:
    """How many of the ``processes`` that a suite asks for run here: at most one a graphics card, a divisor of them all.

    Each of those that run then does the work of equally many, and the batch stays whole. Without any card all run: they
    share the processors. ``cards`` are by default those that PyTorch finds.
    """
    if cards is None:
        import torch

        cards = torch.cuda.device_count()
    return max(number for number in range(1, min(processes, cards or processes) + 1) if processes % number == 0)
