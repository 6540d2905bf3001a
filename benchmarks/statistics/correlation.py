"""Rank correlation between the proxy and a target: Kendall's tau-b and Spearman's rho, scipy's percentile bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.statistics.summary import LEVEL, Interval

RESAMPLES = 400
PAIRWISE_UP_TO = 150  # backbones; beyond it scipy's n log n beats all pairs at once
MINIMUM_PAIRS = 5  # below it Kendall's tau takes so few values that no interval is worth printing


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
    ends = stats.bootstrap(
        (proxy, target),
        correlation,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(0),  # the same results always print the same interval
        paired=True,
    ).confidence_interval
    if ends.high - ends.low <= 1e-9:
        return None
    return Interval(float(ends.low), float(ends.high), f"the choice of the {len(proxy)} backbones")


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
