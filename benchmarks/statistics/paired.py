"""Means over images or queries with intervals: of one model, and of two models on the same items, pair by pair.

Items that share a group (the queries of one person) resemble each other, so groups are what varies. With scores x of Q
items in G groups and mean m, the cluster-robust variance of the mean is

    G / (G - 1) * sum over groups of (sum over its items of (x - m))^2 / Q^2

(Liang and Zeger, 1986), and the interval takes t with G - 1 degrees of freedom. Without groups this is s^2 / Q.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from benchmarks.statistics.summary import LEVEL, MINIMUM_SAMPLE, Interval


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the same ``n`` images or queries; ``interval`` is None where nothing varies."""

    mean: float
    n: int
    interval: Interval | None


def mean_interval(scores: ArrayLike, unit: str = "images", groups: Sequence[Hashable] = ()) -> Interval | None:
    """Return the interval of a mean of scores between 0 and 1, on the logit scale so that it stays between them.

    None below :data:`MINIMUM_SAMPLE` groups, or where all scores are equal.
    """
    mean, error, freedom, covers = _mean(np.asarray(scores, float), unit, groups)
    if error is None or not 0 < mean < 1:
        return None
    centre, half = np.log(mean / (1 - mean)), _t(freedom) * error / (mean * (1 - mean))
    low, high = (1 / (1 + np.exp(-end)) for end in (centre - half, centre + half))
    return Interval(float(low), float(high), covers)


def paired_difference(
    a: ArrayLike, b: ArrayLike, unit: str = "images", groups: Sequence[Hashable] = ()
) -> PairedDifference | None:
    """Compare two backbones by their scores ``a`` and ``b`` on the same items, in the same order.

    Args:
        a: One score an item.
        b: The same of the other backbone; ValueError if the lengths differ.
        unit: What an item is, in the plural.
        groups: For each item what it shares with others, such as the identity of a query; none by default.

    Returns:
        None below :data:`MINIMUM_SAMPLE` groups.
    """
    difference = np.subtract(np.asarray(a, float), np.asarray(b, float))
    if len(set(groups) if len(groups) else difference) < MINIMUM_SAMPLE:
        return None
    mean, error, freedom, covers = _mean(difference, unit, groups)
    if error is None:
        return PairedDifference(mean, difference.size, None)
    half = _t(freedom) * error
    return PairedDifference(mean, difference.size, Interval(mean - half, mean + half, covers))


def resampled_difference(
    mean: float, on_sets: Sequence[float], n: int, unit: str = "images"
) -> PairedDifference | None:
    """Compare two backbones by a metric that is not a mean over items: percentiles over resampled sets.

    ``on_sets`` is a - b on each set drawn from ``n`` items; sets on which the metric is undefined (nan) are left out.
    None below :data:`MINIMUM_SAMPLE` items or sets.
    """
    defined = np.asarray(on_sets, float)
    defined = defined[~np.isnan(defined)]
    if min(n, defined.size) < MINIMUM_SAMPLE:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return PairedDifference(mean, n, Interval(float(low), float(high), _covers(n, unit)))


def _mean(scores: np.ndarray, unit: str, groups: Sequence[Hashable]) -> tuple[float, float | None, int, str]:
    """Mean, its standard error (None where it cannot be estimated), degrees of freedom, what it covers."""
    mean = float(scores.mean())
    index = np.unique(np.asarray(groups), return_inverse=True)[1] if len(groups) else np.arange(scores.size)
    residuals = np.bincount(index, weights=scores - mean)
    count = residuals.size
    covers = _covers(scores.size, unit)
    if len(groups):
        covers = f"the choice of the {count} persons with {scores.size} {unit}, not training seeds"
    if count < MINIMUM_SAMPLE or np.ptp(scores) == 0:
        return mean, None, 0, covers
    variance = count / (count - 1) * float(residuals @ residuals) / scores.size**2
    return mean, float(np.sqrt(variance)), count - 1, covers


def _t(freedom: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _covers(n: int, unit: str) -> str:
    return f"the choice of the {n} {unit}, not training seeds"
