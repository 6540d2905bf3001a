"""Assign GPUs to jobs of several processes."""

from __future__ import annotations


def fit(processes: int, cards: int | None = None) -> int:
    """How many of a suite's ``processes`` run here: at most one per GPU, and a divisor of ``processes``.

    Each of those that run then does the work of equally many, and the batch stays whole. Without a GPU all run and
    share the CPU cores. ``cards`` are by default those that PyTorch finds.
    """
    if cards is None:
        import torch

        cards = torch.cuda.device_count()
    return max(number for number in range(1, min(processes, cards or processes) + 1) if processes % number == 0)
