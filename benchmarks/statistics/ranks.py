"""Networks compared over many tasks by their ranks and normalised scores.

Throughout, ``scores`` is (networks, tasks) with higher better and no hole: a network without a score on a task takes no
part, and nothing is filled in. ``runs`` is (runs, tasks): the repeated scores of one network.

Sources: mean ranks, Friedman test and critical difference: Demsar, JMLR 2006, section 3.2.2. Wilcoxon-Holm:
Benavoli et al., JMLR 2016. Performance profile, interquartile mean: Agarwal et al., NeurIPS 2021, sections 4.2, 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmarks.statistics.relative import holm
from benchmarks.statistics.summary import LEVEL, Interval

Array = NDArray[np.float64]
RESAMPLES = 2000
MINIMUM_TASKS = 2  # below it there is nothing to average
MINIMUM_RUNS = 5  # a task; with three the interval of the interquartile mean covers 91.5 %
MINIMUM_NETWORKS = 3  # the Friedman test needs three


@dataclass(frozen=True)
class RankTest:
    """Whether the order of the networks is more than chance, and which of them differ.

    ``friedman_p`` tests that all have the same mean rank. Two mean ranks further apart than ``critical_difference``
    differ by Nemenyi's test at 5 %. ``wilcoxon`` holds the Holm-adjusted p-value of each pair of networks.
    """

    mean_ranks: tuple[float, ...]
    friedman_p: float
    critical_difference: float
    wilcoxon: dict[tuple[int, int], float]


def rank_test(scores: ArrayLike) -> RankTest | None:
    """Test the ranks of ``scores``; None below three networks or two tasks, or where all scores are equal."""
    table = np.asarray(scores, float)
    networks, tasks = table.shape if table.ndim == 2 else (0, 0)
    if networks < MINIMUM_NETWORKS or tasks < MINIMUM_TASKS or np.ptp(table, axis=0).max() == 0:
        return None
    return RankTest(
        mean_ranks=tuple(mean_ranks(table).tolist()),
        friedman_p=float(stats.friedmanchisquare(*table).pvalue),
        critical_difference=critical_difference(networks, tasks),
        wilcoxon=_wilcoxon_holm(table),
    )


def mean_ranks(scores: ArrayLike) -> Array:
    """Return each network's rank averaged over the tasks; 1 is best, ties share the mean of their ranks."""
    return np.asarray(stats.rankdata(-np.asarray(scores, float), axis=0).mean(axis=1))


def critical_difference(networks: int, tasks: int) -> float:
    """Return Nemenyi's q sqrt(k (k + 1) / 6 N), q the studentized range at 5 % over sqrt 2."""
    q = float(stats.studentized_range.ppf(LEVEL, networks, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(networks * (networks + 1) / (6 * tasks)))


def _wilcoxon_holm(table: Array) -> dict[tuple[int, int], float]:
    pairs = list(combinations(range(len(table)), 2))
    p_values = [
        1.0 if np.array_equal(table[i], table[j]) else float(stats.wilcoxon(table[i], table[j]).pvalue)
        for i, j in pairs
    ]
    return dict(zip(pairs, holm(p_values), strict=True))


def win_rates(scores: ArrayLike) -> Array:
    """Return (networks, networks): on which share of the tasks the row beats the column, a tie counting half."""
    table = np.asarray(scores, float)
    difference = table[:, None, :] - table[None, :, :]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean(axis=-1))


def borda(scores: ArrayLike) -> Array:
    """Return each network's Borda count: the networks it beats, summed over the tasks, a tie counting half."""
    table = np.asarray(scores, float)
    difference = table[:, None, :] - table[None, :, :]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).sum(axis=(1, 2)) - 0.5 * table.shape[1])


def performance_profile(runs: ArrayLike, thresholds: ArrayLike) -> Array:
    """Return for each threshold the share of all runs and tasks whose score exceeds it."""
    flat = np.asarray(runs, float).ravel()
    return np.asarray((flat[:, None] > np.asarray(thresholds, float)).mean(axis=0))


def interquartile_mean(runs: ArrayLike) -> float:
    """Return the mean of the middle half of all runs on all tasks."""
    return float(stats.trim_mean(np.asarray(runs, float).ravel(), 0.25))


def interquartile_interval(runs: ArrayLike) -> Interval | None:
    """Return the stratified bootstrap interval of the interquartile mean; None below five runs a task.

    Runs are resampled within each task. A resample of n runs varies (n - 1) / n as much as it should, so the
    percentiles are moved away from the estimate by sqrt(n / (n - 1)).
    """
    table = np.asarray(runs, float)
    count, tasks = table.shape
    if count < MINIMUM_RUNS or np.ptp(table, axis=0).max() == 0:
        return None
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count, tasks))
    resampled = np.take_along_axis(table[None], drawn, axis=1).reshape(RESAMPLES, -1)
    means = stats.trim_mean(resampled, 0.25, axis=1)
    estimate = interquartile_mean(table)
    low, high = estimate + np.sqrt(count / (count - 1)) * (
        np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - estimate
    )
    return Interval(float(low), float(high), f"the {count} runs on each of the {tasks} tasks, not the choice of tasks")
