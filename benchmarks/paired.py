"""Two backbones on the same images or queries: the paired bootstrap of their difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.items import Resampled, load_items, load_resampled
from benchmarks.statistics import PairedDifference, paired_difference, resampled_difference
from benchmarks.store import Result
from benchmarks.tables.keys import Setting, Task
from benchmarks.tables.measurements import Measurements
from nas.errors import NaswildError, unknown

ITEMS = {"classify": "images", "detect": "images", "reid": "queries"}


@dataclass(frozen=True)
class Pair:
    """Mean scores of backbones a and b under one metric, and the bootstrap of a - b over the images or queries.

    ``runs`` says how many trained networks each mean is over; an image's score is averaged over them first. A metric
    that is no mean over images is averaged over them on each drawn set.
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
            f"no task has scores of single images or queries for both {a} and {b}; they are kept beside the results "
            "of a run, not with numbers that come from elsewhere, and detection keeps them only since this version"
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
            found = _pair_of_items(run_dir, task, setting, metric, results)
            pair = found or _pair_of_sets(run_dir, task, setting, metric, results)
            if pair is not None:
                yield pair


Sides = tuple[Sequence[Result], Sequence[Result]]


def _pair_of_items(run_dir: Path, task: Task, setting: Setting, metric: str, results: Sides) -> Pair | None:
    """From one score an image or query."""
    loaded = [[load_items(run_dir, result, metric) for result in side] for side in results]
    sides = [[scores for scores in side if scores is not None] for side in loaded]
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


def _pair_of_sets(run_dir: Path, task: Task, setting: Setting, metric: str, results: Sides) -> Pair | None:
    """From the metric on sets of images or queries that were drawn for both alike."""
    loaded = [[(load_resampled(run_dir, result, metric), result) for result in side] for side in results]
    sides = [[(kept, result) for kept, result in side if kept is not None] for side in loaded]
    if not all(sides):
        return None
    drawn = {(kept.items, kept.sets) for side in sides for kept, _ in side}
    if len(drawn) > 1:
        raise NaswildError(
            f"{task}, {setting}: the results were resampled from different sets of images "
            f"({', '.join(str(items) for items, _ in sorted(drawn))}) and cannot be paired"
        )
    a, b = (_mean_on_sets(metric, [kept for kept, _ in side]) for side in sides)
    means = [float(np.mean([result.metrics[metric].value for _, result in side])) for side in sides]
    difference = resampled_difference(means[0] - means[1], a - b, drawn.pop()[0], ITEMS.get(task.kind, "items"))
    if difference is None:
        return None
    return Pair(task, metric, (means[0], means[1]), (len(sides[0]), len(sides[1])), difference)


def _mean_on_sets(metric: str, runs: Sequence[Resampled]) -> np.ndarray:
    return np.mean([np.asarray(run.values[metric]) for run in runs], axis=0)
