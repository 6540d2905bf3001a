"""Ranks over tasks, against Demsar's own example, scipy and rliable."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics.ranks import (
    borda,
    critical_difference,
    interquartile_interval,
    interquartile_mean,
    mean_ranks,
    performance_profile,
    rank_test,
    win_rates,
)

# Demsar (JMLR 2006), table 6: AUC of C4.5, +m, +cf and +m+cf on 14 data sets.
DEMSAR = np.array(
    [
        (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
    ]
).T  # fmt: skip


def test_mean_ranks_and_critical_difference_are_those_of_demsars_example() -> None:
    assert mean_ranks(DEMSAR) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)  # section 3.2.2: q 2.569
    test = rank_test(DEMSAR)
    assert test is not None
    assert test.friedman_p == pytest.approx(stats.friedmanchisquare(*DEMSAR).pvalue, abs=1e-12)
    assert test.wilcoxon[0, 1] == pytest.approx(min(1.0, 6 * stats.wilcoxon(DEMSAR[0], DEMSAR[1]).pvalue), abs=0.02)


def test_wins_and_borda_count_pairs() -> None:
    scores = [[3.0, 1.0], [2.0, 1.0], [1.0, 5.0]]
    assert win_rates(scores).tolist() == [[0.5, 0.75, 0.5], [0.25, 0.5, 0.5], [0.5, 0.5, 0.5]]
    assert borda(scores).tolist() == [2.5, 1.5, 2.0]


def test_ranks_need_three_networks_and_two_tasks() -> None:
    assert rank_test([[0.1, 0.2], [0.2, 0.3]]) is None
    assert rank_test([[0.1], [0.2], [0.3]]) is None


def test_profile_and_interquartile_mean_are_those_of_rliable() -> None:
    metrics = pytest.importorskip("rliable.metrics", reason="rliable is a development dependency")
    library = pytest.importorskip("rliable.library")
    runs = np.random.default_rng(0).random((5, 7))
    assert interquartile_mean(runs) == pytest.approx(metrics.aggregate_iqm(runs), abs=1e-12)
    thresholds = np.linspace(0, 1, 11)
    theirs = [library.run_score_deviation(runs, tau) for tau in thresholds]
    assert performance_profile(runs, thresholds) == pytest.approx(theirs, abs=1e-12)


def test_the_interquartile_interval_is_a_stratified_bootstrap_widened_for_few_runs() -> None:
    runs = np.random.default_rng(3).normal(0.5, 0.1, (5, 6))
    interval = interquartile_interval(runs)
    assert interval is not None
    draws = np.random.default_rng(0).integers(5, size=(2000, 5, 6))
    means = [interquartile_mean(np.take_along_axis(runs, draw, axis=0)) for draw in draws]
    low = interquartile_mean(runs) + np.sqrt(5 / 4) * (np.quantile(means, 0.025) - interquartile_mean(runs))
    assert interval.low == pytest.approx(low, abs=1e-12)
    assert interquartile_interval(runs[:4]) is None
