"""Two backbones on the same images or queries: the paired bootstrap of their difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.items import load_items
from benchmarks.statistics import PairedDifference, paired_difference
from benchmarks.store import Result
from benchmarks.tables.keys import Setting, Task
from benchmarks.tables.measurements import Measurements
from nas.errors import NaswildError, unknown

ITEMS = {"classify": "images", "detect": "images", "reid": "queries"}


@dataclass(frozen=True)
class Pair:
    """Mean scores of backbones a and b under one metric, and the bootstrap of a - b over the images or queries.

    ``runs`` says how many trained networks each mean is over; an image's score is averaged over them first.
    """

    task: Task
    metric: str
    means: tuple[float, float]
    runs: tuple[int, int]
    difference: PairedDifference

    @property
    def items(self) -> str:
        """What was resampled: images or queries."""
        return ITEMS.get(self.task.kind, "items")


def compare(run_dir: Path, results: Sequence[Result], a: str, b: str) -> list[Pair]:
    """Backbones ``a`` and ``b`` on every task and metric that both have scores of single items for.

    Raises:
        UnknownName: no backbone of that name in the results.
        NaswildError: the two have no items in common.
    """
    measured = Measurements(results, allow_mixed=True)
    for name in (a, b):
        if name not in measured.backbones:
            raise unknown("backbone", name, measured.backbones)
    pairs = [pair for task in measured.tasks for pair in pairs_of(run_dir, measured, task, a, b)]
    if not pairs:
        raise NaswildError(
            f"no task has scores of single images or queries for both {a} and {b}; classification and "
            "re-identification keep them, detection does not (its AP is no mean over images)"
        )
    return pairs


def pairs_of(
    run_dir: Path, measured: Measurements, task: Task, a: str, b: str, metrics: Sequence[str] | None = None
) -> Iterator[Pair]:
    """The pairs of one task, one for each setting and metric that both were measured in."""
    for setting in measured.settings(task, a):
        results = measured.of(task, setting, a), measured.of(task, setting, b)
        known = [name for found in results for result in found for name in result.metrics]
        for metric in metrics or list(dict.fromkeys(known)):
            sides = [_mean_scores(run_dir, found, metric) for found in results]
            pair = _pair(task, setting, metric, sides)
            if pair is not None:
                yield pair


def _mean_scores(run_dir: Path, results: Sequence[Result], metric: str) -> list[np.ndarray]:
    scores = [load_items(run_dir, result, metric) for result in results]
    return [found for found in scores if found is not None]


def _pair(task: Task, setting: Setting, metric: str, sides: Sequence[list[np.ndarray]]) -> Pair | None:
    if not all(sides):
        return None
    lengths = {len(scores) for side in sides for scores in side}
    if len(lengths) > 1:
        raise NaswildError(f"{task}, {setting}: scores of {sorted(lengths)} items cannot be paired")
    a, b = (np.mean(side, axis=0) for side in sides)
    difference = paired_difference(a, b, ITEMS.get(task.kind, "items"))
    if difference is None:
        return None
    return Pair(task, metric, (float(a.mean()), float(b.mean())), (len(sides[0]), len(sides[1])), difference)
