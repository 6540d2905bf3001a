"""Two backbones on the same images or queries: their mean difference with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.items import load_groups, load_items, load_resampled
from benchmarks.statistics import PairedDifference, paired_difference, resampled_difference
from benchmarks.store import Result
from benchmarks.tables.keys import Setting, Task
from benchmarks.tables.measurements import Measurements
from nas.errors import NaswildError, unknown

Kept = TypeVar("Kept")
ITEMS = {"classify": "images", "detect": "images", "reid": "queries"}


@dataclass(frozen=True)
class Pair:
    """Mean scores of backbones a and b under one metric, and a - b with its interval over the images or persons.

    ``runs`` says how many trained networks each mean is over; an image's score is averaged over them first. A metric
    that is not a mean over images is averaged over them on each drawn set.
    """

    task: Task
    metric: str
    means: tuple[float, float]
    runs: tuple[int, int]
    difference: PairedDifference

    @property
    def items(self) -> str:
        """What was resampled: images or queries."""
        return _unit(self.task)


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
            f"no task has scores of single images or queries for both {a} and {b}; runs keep them, numbers "
            "that come from elsewhere have none, nor have detectors that a version before 2026-11-24 scored"
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
            by_item = _pair_of_items(run_dir, task, setting, metric, results)
            pair = by_item or _pair_of_sets(run_dir, task, setting, metric, results)
            if pair is not None:
                yield pair


def _pair_of_items(
    run_dir: Path, task: Task, setting: Setting, metric: str, results: Sequence[Sequence[Result]]
) -> Pair | None:
    """From one score an image or query."""
    sides = [_kept(load_items, run_dir, metric, side) for side in results]
    if not all(sides):
        return None
    lengths = {len(scores) for side in sides for _, scores in side}
    if len(lengths) > 1:
        raise NaswildError(f"{task}, {setting}: scores of {sorted(lengths)} items cannot be paired")
    groups = [load_groups(run_dir, result) for side in sides for result, _ in side]
    if any(found != groups[0] for found in groups):
        raise NaswildError(f"{task}, {setting}: the scores are of other {_unit(task)}; run the older ones again")
    a, b = (np.mean([scores for _, scores in side], axis=0) for side in sides)
    difference, means = paired_difference(a, b, _unit(task), groups[0]), (float(a.mean()), float(b.mean()))
    return None if difference is None else Pair(task, metric, means, _runs(sides), difference)


def _pair_of_sets(
    run_dir: Path, task: Task, setting: Setting, metric: str, results: Sequence[Sequence[Result]]
) -> Pair | None:
    """From the metric on sets of images or queries that were drawn for both alike."""
    sides = [_kept(load_resampled, run_dir, metric, side) for side in results]
    if not all(sides):
        return None
    drawn = {(kept.items, kept.sets) for side in sides for _, kept in side}
    if len(drawn) > 1:
        raise NaswildError(
            f"{task}, {setting}: the results were resampled from different sets of images "
            f"({', '.join(str(items) for items, _ in sorted(drawn))}) and cannot be paired"
        )
    on_a, on_b = (np.mean([np.asarray(kept.values[metric]) for _, kept in side], axis=0) for side in sides)
    a, b = (float(np.mean([result.metrics[metric].value for result, _ in side])) for side in sides)
    ((items, _),) = drawn
    difference = resampled_difference(a - b, on_a - on_b, items, _unit(task))
    return None if difference is None else Pair(task, metric, (a, b), _runs(sides), difference)


def _kept(
    load: Callable[[Path, Result, str], Kept | None], run_dir: Path, metric: str, side: Sequence[Result]
) -> list[tuple[Result, Kept]]:
    """The results of one side that ``load`` finds something for, with what it finds."""
    return [(result, found) for result in side if (found := load(run_dir, result, metric)) is not None]


def _runs(sides: Sequence[Sequence[object]]) -> tuple[int, int]:
    return len(sides[0]), len(sides[1])


def _unit(task: Task) -> str:
    return ITEMS.get(task.kind, "items")
