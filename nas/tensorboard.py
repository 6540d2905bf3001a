"""A training run's figures for TensorBoard, by listening to its progress reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.errors import require
from nas.progress import Progress, Report, silent


@contextmanager
def tensorboard(folder: str | Path, report: Report = silent) -> Iterator[Report]:
    """A reporter that writes every metric to ``folder`` and passes the report on.

    >>> with tensorboard("runs/tb", report) as watched:
    ...     train_classifier(network, proxy, recipe, seed=0, workdir="runs/job", report=watched)

    The horizontal axis is the step of the whole run. Points beyond the one where a resumed run begins are hidden.
    """
    require("tensorboard", "all")
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = None

    def write(progress: Progress) -> None:
        nonlocal writer
        step = progress.epoch * progress.steps + progress.step
        if writer is None:
            writer = SummaryWriter(str(folder), purge_step=step)
        for name, value in progress.metrics.items():
            writer.add_scalar(f"{progress.stage}/{name}", value, step)
        report(progress)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
