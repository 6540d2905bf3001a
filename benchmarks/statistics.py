"""The statistics of the tables: means, relative improvement, intervals, rank correlation, power; scipy does the work.

Every interval says what it covers. A single run has no deviation and no interval; what a sample is too small for is
None, never a number that looks like an answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95  # coverage of every interval
RESAMPLES = 2000  # bootstrap resamples of a mean; each is cheap
RANK_RESAMPLES = 400  # of a rank correlation
PAIRWISE_UP_TO = 150  # backbones; beyond it scipy's n log n beats all pairs at once
MINIMUM_SAMPLE = 3  # below it a bootstrap interval only repeats the two values
MINIMUM_PAIRS = 5  # below it Kendall's tau takes so few values that no interval is worth printing


@dataclass(frozen=True)
class Interval:
    """A two-sided bootstrap interval and the variation that it covers."""

    low: float
    high: float
    covers: str
    level: float = LEVEL


@dataclass(frozen=True)
class Summary:
    """Mean of ``n`` independent values; ``deviation`` is the sample deviation (n - 1), None for a single run."""

    mean: float
    deviation: float | None
    n: int
    over: str  # what was repeated: "search seeds", "seeds", "random cells"; "" for a single run


@dataclass(frozen=True)
class Improvement:
    """Relative improvement over the mean random cell, a fraction: 0.05 is five percent better."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class RankCorrelation:
    """Agreement of two rankings of the same ``n`` backbones: Kendall's tau-b and Spearman's rho with intervals."""

    n: int
    kendall: float
    kendall_interval: Interval | None  # None where every resample has the same order (a perfect correlation)
    kendall_p: float
    spearman: float
    spearman_interval: Interval | None
    spearman_p: float


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the same ``n`` images or queries."""

    mean: float
    n: int
    interval: Interval


def summarize(values: Sequence[float], over: str = "seeds") -> Summary:
    """Mean, sample deviation and n of ``values``, which must not be empty."""
    sample = np.asarray(values, dtype=float)
    if sample.size == 1:
        return Summary(float(sample[0]), None, 1, "")
    return Summary(float(sample.mean()), float(sample.std(ddof=1)), int(sample.size), over)


def summarize_seeds(by_search_seed: Mapping[int | None, Sequence[float]]) -> Summary:
    """Summary of values grouped by search seed, keeping the two kinds of repetition apart.

    Runs that share a cell are not independent of each other: they are averaged first, and the deviation is that of the
    searches. With one search only, it is that of its training seeds, and ``over`` says so.
    """
    if len(by_search_seed) == 1:
        return summarize(next(iter(by_search_seed.values())), "seeds")
    return summarize([float(np.mean(values)) for values in by_search_seed.values()], "search seeds")


def relative_improvement(
    values: Sequence[float], random_values: Sequence[float], higher_is_better: bool = True, interval: bool = True
) -> Improvement | None:
    """How much better than the mean random cell: (mean - mean_random) / mean_random (Yang et al., ICLR 2020, eq. 1).

    ``values`` hold one number per search (or run), ``random_values`` one per random cell of the same search space. The
    sign is turned where lower is better. None without random cells, or where their mean is 0. Without ``interval`` the
    bootstrap is left out.
    """
    if not len(values) or not len(random_values) or np.mean(random_values) == 0:
        return None
    sign = 1.0 if higher_is_better else -1.0

    def improvement(random_cells: Any, ours: Any, axis: int = -1) -> Any:
        return sign * (np.mean(ours, axis=axis) / np.mean(random_cells, axis=axis) - 1.0)

    cells, ours = np.asarray(random_values, float), np.asarray(values, float)
    return Improvement(
        float(improvement(cells, ours)), _improvement_interval(improvement, cells, ours) if interval else None
    )


def _improvement_interval(
    improvement: Callable[..., Any], random_cells: np.ndarray, ours: np.ndarray
) -> Interval | None:
    if random_cells.size < MINIMUM_SAMPLE or not random_cells.all():
        return None  # a random cell that scores 0 can fill a whole resample: nothing to divide by
    if ours.size < MINIMUM_SAMPLE:
        covers = f"the choice of the {random_cells.size} random cells, not the variation between runs"
        fixed = ours.mean(keepdims=True)
        return bootstrap_interval((random_cells,), lambda cells, axis=-1: improvement(cells, fixed, axis), covers)
    covers = f"the choice of the {random_cells.size} random cells and of the {ours.size} runs"
    return bootstrap_interval((random_cells, ours), improvement, covers)


def rank_correlation(proxy: Sequence[float], target: Sequence[float]) -> RankCorrelation | None:
    """How well a ranking on the proxy predicts the ranking on a target, over the same backbones.

    None below :data:`MINIMUM_PAIRS` backbones, or where one side does not vary at all.
    """
    if len(proxy) < MINIMUM_PAIRS or np.ptp(proxy) == 0 or np.ptp(target) == 0:
        return None
    kendall, spearman = stats.kendalltau(proxy, target), stats.spearmanr(proxy, target)
    return RankCorrelation(
        n=len(proxy),
        kendall=float(kendall.statistic),
        kendall_interval=_rank_interval(proxy, target, _kendall),
        kendall_p=float(kendall.pvalue),
        spearman=float(spearman.statistic),
        spearman_interval=_rank_interval(proxy, target, _spearman),
        spearman_p=float(spearman.pvalue),
    )


def _rank_interval(proxy: Sequence[float], target: Sequence[float], correlation: Callable[..., Any]) -> Interval | None:
    covers = f"the choice of the {len(proxy)} backbones"
    interval = bootstrap_interval((proxy, target), correlation, covers, RANK_RESAMPLES, paired=True)
    return interval if interval.high - interval.low > 1e-9 else None


def _kendall(a: Any, b: Any, axis: int = -1) -> Any:
    """scipy's tau-b, for a batch of small resamples at once: the correlation of the signs of all pairs."""
    if a.shape[axis] > PAIRWISE_UP_TO:
        rows = zip(np.atleast_2d(np.moveaxis(a, axis, -1)), np.atleast_2d(np.moveaxis(b, axis, -1)))
        return np.array([stats.kendalltau(x, y).statistic for x, y in rows])
    first, second = np.triu_indices(a.shape[axis], k=1)
    signs_a, signs_b = (np.sign(np.take(x, first, axis) - np.take(x, second, axis)) for x in (a, b))
    return _uncentred_correlation(signs_a, signs_b, axis)


def _spearman(a: Any, b: Any, axis: int = -1) -> Any:
    """scipy's rho for a whole batch of resamples: the correlation of the ranks."""
    ranks_a, ranks_b = (stats.rankdata(x, axis=axis) - (np.shape(x)[axis] + 1) / 2 for x in (a, b))
    return _uncentred_correlation(ranks_a, ranks_b, axis)


def _uncentred_correlation(u: Any, v: Any, axis: int) -> Any:
    """0 where one side is all zeros: a resample in which every backbone is the same one holds no order."""
    norm = np.sqrt((u * u).sum(axis=axis) * (v * v).sum(axis=axis))
    return (u * v).sum(axis=axis) / np.where(norm == 0, 1.0, norm)


def paired_difference(a: Sequence[float], b: Sequence[float], unit: str = "images") -> PairedDifference | None:
    """Bootstrap of the mean of a - b, where a and b score two backbones on the same images or queries, in order.

    None below :data:`MINIMUM_SAMPLE` pairs; ValueError when the lengths differ.
    """
    difference = np.subtract(np.asarray(a, float), np.asarray(b, float))
    if difference.size < MINIMUM_SAMPLE:
        return None
    interval = bootstrap_interval((difference,), np.mean, _paired_covers(difference.size, unit))
    return PairedDifference(float(difference.mean()), int(difference.size), interval)


def resampled_difference(
    mean: float, on_sets: Sequence[float], n: int, unit: str = "images"
) -> PairedDifference | None:
    """The same for a metric that is no mean over items: ``on_sets`` is a - b on sets that were drawn from ``n`` items.

    Sets on which the metric is undefined (nan) are left out. None below :data:`MINIMUM_SAMPLE` items or sets.
    """
    defined = np.asarray(on_sets, float)
    defined = defined[~np.isnan(defined)]
    if min(n, defined.size) < MINIMUM_SAMPLE:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return PairedDifference(mean, n, Interval(float(low), float(high), _paired_covers(n, unit)))


def _paired_covers(n: int, unit: str) -> str:
    return f"the choice of the {n} {unit}, not training seeds"


def pareto_front(costs: Sequence[float], values: Sequence[float], higher_is_better: bool = True) -> list[bool]:
    """For each point whether no other has at most its cost and at least its quality, one of them strictly."""
    quality = np.asarray(values, float) * (1 if higher_is_better else -1)
    cost = np.asarray(costs, float)
    no_worse = (cost[:, None] <= cost) & (quality[:, None] >= quality)
    better = no_worse & ((cost[:, None] < cost) | (quality[:, None] > quality))
    return [not dominated for dominated in np.atleast_1d(better.any(axis=0)).tolist()]


def runs_to_detect(difference: float, deviation: float, power: float = 0.8, most: int = 10_000) -> int | None:
    """Runs on each side for which a two-sided t test at 5 % finds a true ``difference`` with this ``power``.

    Both sides are taken to vary by ``deviation``. None when more than ``most`` runs were needed.
    """
    if difference == 0:
        return None
    if deviation == 0:
        return 2

    def enough(n: int) -> bool:
        shift = abs(difference) / deviation * np.sqrt(n / 2)
        critical = stats.t.ppf(1 - (1 - LEVEL) / 2, 2 * n - 2)
        # The far tail is left out: it is below 1e-3 where the power is of interest.
        return bool(stats.nct.sf(critical, 2 * n - 2, shift) >= power)

    runs = bisect_left(range(2, most + 1), True, key=enough) + 2
    return runs if runs <= most else None


def bootstrap_interval(
    data: tuple[Any, ...], statistic: Callable[..., Any], covers: str, resamples: int = RESAMPLES, **options: Any
) -> Interval:
    """scipy's percentile bootstrap, the one that stays defined for the handful of values that a benchmark has.

    ``data``, ``statistic`` and ``options`` are those of :func:`scipy.stats.bootstrap`; ``covers`` says in words
    what is resampled.
    """
    result = stats.bootstrap(
        data,
        statistic,
        n_resamples=resamples,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(0),  # the same results always print the same interval
        **options,
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high), covers)
