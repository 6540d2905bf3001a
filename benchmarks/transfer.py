"""Does the proxy's winner win elsewhere? The wild score of each backbone, and proxy-to-target rank correlation.

A *target* is every task that no cell of the comparison was searched on. The wild score of a backbone is the mean over
the target data sets of its relative improvement over the random cells of the same space; several variants of one data
set (numbers of parts, input sizes) count as one data set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.statistics import (
    MINIMUM_SAMPLE,
    Improvement,
    Interval,
    RankCorrelation,
    bootstrap_interval,
    rank_correlation,
)
from benchmarks.tables.keys import Point, Setting, Task
from benchmarks.tables.measurements import Measurements

Unit = tuple[Task, Setting]


@dataclass(frozen=True)
class WildScore:
    """``parts`` maps a data set to the improvement there; ``score`` is their mean, None where a data set is missing."""

    backbone: str
    parts: Mapping[str, Improvement]
    score: Improvement | None


@dataclass(frozen=True)
class ProxyCorrelation:
    """The points of one proxy-to-target plot (proxy value, target value) and what they say; None if too few."""

    proxy: Task
    target: Task
    metric: str
    points: Mapping[Point, tuple[float, float]]
    correlation: RankCorrelation | None


def proxies(measured: Measurements) -> set[str]:
    """Names of the data that cells were searched on; where nothing was searched, of all classification data."""
    searched = {search.task for search in measured.searches if search.backbone.kind == "searched"}
    return searched or {task.name for task in measured.kind("classify")}


def targets(measured: Measurements) -> dict[str, list[Unit]]:
    """The target data sets, each with its variants: ``"reid market1501"`` -> the tasks with 1, 3 and 6 parts."""
    found: dict[str, list[Unit]] = {}
    known = proxies(measured)
    for task in measured.tasks:
        if not (task.kind == "classify" and task.name in known):
            for setting in measured.settings(task):
                found.setdefault(f"{task.kind} {task.name}", []).append((task, setting))
    return found


@lru_cache(maxsize=2)  # asked for by the tables and by several parts of the report
def wild_scores(measured: Measurements) -> Sequence[WildScore]:
    """The wild score of every backbone that is a cell and not random itself, best first."""
    groups = targets(measured)
    scores = []
    for name, backbone in measured.backbones.items():
        if backbone.kind == "random" or backbone.genotype is None:
            continue
        parts = {label: _improvement(measured, name, [units]) for label, units in groups.items()}
        known = {label: part for label, part in parts.items() if part is not None}
        complete = len(groups) > 0 and len(known) == len(groups)
        score = _improvement(measured, name, list(groups.values())) if complete else None
        if known:
            scores.append(WildScore(name, known, score))
    return sorted(scores, key=lambda s: -s.score.value if s.score else np.inf)


def _improvement(measured: Measurements, name: str, groups: Sequence[Sequence[Unit]]) -> Improvement | None:
    """Mean over groups of the mean over their units of the relative improvement, with a joint bootstrap.

    A cell is resampled with all its values at once: what one cell scores on two tasks is not independent.
    """
    units = [unit for group in groups for unit in group]
    weights = np.array([1 / (len(groups) * len(group)) for group in groups for _ in group])
    ours = _matrix(measured, units, lambda point: point.backbone == name)
    cells = _matrix(measured, units, lambda point: measured.backbones[point.backbone].kind == "random")
    if not len(ours) or not len(cells) or (cells.mean(axis=0) == 0).any():
        return None
    signs = np.array([1.0 if measured.higher_is_better(task, measured.primary(task)) else -1.0 for task, _ in units])

    def score(cell_rows: Any, our_rows: Any, axis: int = -1) -> Any:
        base = cells[np.asarray(cell_rows, int)].mean(axis=axis - 1)
        mean = ours[np.asarray(our_rows, int)].mean(axis=axis - 1)
        return (signs * (mean / base - 1.0)) @ weights

    value = score(np.arange(len(cells)), np.arange(len(ours)))
    return Improvement(float(value), _interval(score, cells, ours))


def _interval(score: Any, cells: np.ndarray, ours: np.ndarray) -> Interval | None:
    if len(cells) < MINIMUM_SAMPLE or (cells == 0).any():
        return None
    every = np.arange(len(ours))
    if len(ours) < MINIMUM_SAMPLE:
        covers = f"the choice of the {len(cells)} random cells"
        return bootstrap_interval((np.arange(len(cells)),), lambda rows, axis=-1: score(rows, every, axis), covers)
    covers = f"the choice of the {len(cells)} random cells and of the {len(ours)} searches"
    return bootstrap_interval((np.arange(len(cells)), every), score, covers)


def _matrix(measured: Measurements, units: Sequence[Unit], wanted: Any) -> np.ndarray:
    """One row for each wanted network that was measured on all units: (networks, units)."""
    columns = [measured.points(task, setting, measured.primary(task)) for task, setting in units]
    rows = [point for point in columns[0] if wanted(point) and all(point in column for column in columns)]
    return np.array([[column[point] for column in columns] for point in rows])


@lru_cache(maxsize=2)
def proxy_correlations(measured: Measurements) -> Sequence[ProxyCorrelation]:
    """For every proxy and every target: do the cells of the search space come in the same order on both?"""
    return tuple(_proxy_correlations(measured))


def _proxy_correlations(measured: Measurements) -> Iterator[ProxyCorrelation]:
    known = proxies(measured)
    for proxy in measured.kind("classify"):
        if proxy.name not in known:
            continue
        base = measured.points(proxy, measured.settings(proxy)[0], measured.primary(proxy))
        for units in targets(measured).values():
            for task, setting in units:
                metric = measured.primary(task)
                values = measured.points(task, setting, metric)
                points = {
                    point: (base[point], value)
                    for point, value in values.items()
                    if point in base and measured.backbones[point.backbone].genotype is not None
                }
                sign = 1.0 if measured.higher_is_better(task, metric) else -1.0
                correlation = rank_correlation([x for x, _ in points.values()], [sign * y for _, y in points.values()])
                yield ProxyCorrelation(proxy, task, metric, points, correlation)
