"""Does the proxy's winner win elsewhere? The wild score of each backbone, and proxy-to-target rank correlation.

A *target* is every task that no cell of the comparison was searched on. The wild score of a backbone is the mean over
the target data sets of the logarithm of its ratio to the mean random cell of the same space, transformed back to a
relative improvement; several variants of one data set (numbers of parts, input sizes) count as one data set. (Until
November 2026 it was the mean of the relative improvements, in which a set that doubles counts more than one that
halves; results store no wild score, so old ones get the new score.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import stats

from benchmarks.statistics import MINIMUM_PAIRS, Improvement, RankCorrelation, holm, rank_correlation
from benchmarks.tables.keys import Point, Setting, Task
from benchmarks.tables.measurements import Measurements, MetricOf

Unit = tuple[Task, Setting]
ALPHA = 0.05


@dataclass(frozen=True)
class WildScore:
    """``parts`` maps a data set to the improvement there; ``score`` is their mean, None where a data set is missing.

    ``adjusted_p`` is the score's p-value, adjusted for all cells that are compared with the random ones (Holm); None
    where there is no interval.
    """

    backbone: str
    parts: Mapping[str, Improvement]
    score: Improvement | None
    adjusted_p: float | None = None

    @property
    def wins(self) -> bool:
        """Whether the cell is better than random cells at the 5 % level, all comparisons taken together."""
        return (
            self.score is not None and self.score.value > 0 and self.adjusted_p is not None and self.adjusted_p <= ALPHA
        )


@dataclass(frozen=True)
class ProxyCorrelation:
    """The points of one proxy-to-target plot (proxy value, target value) and what they say; None if too few.

    Proxy and target of one seed start from the same trained weights, which inflates the correlation; ``independent`` is
    Kendall's tau of the proxy score of one seed and the target score of another, averaged over all pairs of seeds.
    """

    proxy: Task
    target: Task
    metric: str
    points: Mapping[Point, tuple[float, float]]
    correlation: RankCorrelation | None
    independent: float | None = None


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
    p_values = {index: entry.score.p for index, entry in enumerate(scores) if entry.score and entry.score.p is not None}
    for index, adjusted in zip(p_values, holm(list(p_values.values())), strict=True):
        scores[index] = replace(scores[index], adjusted_p=adjusted)
    return sorted(scores, key=lambda s: -s.score.value if s.score else np.inf)


def _improvement(measured: Measurements, name: str, groups: Sequence[Sequence[Unit]]) -> Improvement | None:
    """The improvement over all units of ``groups``; a group counts once, however many units it has."""
    columns = [(task, setting, measured.primary(task)) for group in groups for task, setting in group]
    weights = [1 / (len(groups) * len(group)) for group in groups for _ in group]
    return measured.gain(name, columns, weights)


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
                home = (proxy, measured.settings(proxy)[0], measured.primary(proxy))
                independent = _independent_tau(measured, home, (task, setting, metric))
                yield ProxyCorrelation(proxy, task, metric, points, correlation, independent)


def _independent_tau(measured: Measurements, proxy: MetricOf, target: MetricOf) -> float | None:
    """Mean tau over the pairs of different seeds with enough cells; None without any, as with a single seed."""
    sign = 1.0 if measured.higher_is_better(target[0], target[2]) else -1.0
    taus = []
    for (seed, x), (other, y) in product(_by_seed(measured, proxy).items(), _by_seed(measured, target).items()):
        cells = [point for point in x if point in y and measured.backbones[point.backbone].genotype is not None]
        if seed != other and len(cells) >= MINIMUM_PAIRS:
            taus.append(stats.kendalltau([x[cell] for cell in cells], [sign * y[cell] for cell in cells]).statistic)
    return float(np.nanmean(taus)) if taus and not np.isnan(taus).all() else None


def _by_seed(measured: Measurements, column: MetricOf) -> dict[int, dict[Point, float]]:
    """Training seed -> network -> value."""
    task, setting, metric = column
    values: dict[int, dict[Point, float]] = {}
    for name in measured.backbones:
        for result in measured.of(task, setting, name):
            if metric in result.metrics:
                values.setdefault(result.seed, {})[Point.of(result)] = result.metrics[metric].value
    return values
