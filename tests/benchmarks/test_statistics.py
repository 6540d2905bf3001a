"""The statistics against their definitions, and what they refuse to say about small samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import (
    deviation_limit,
    holm,
    improvement,
    mean_interval,
    paired_difference,
    pareto_front,
    rank_correlation,
    runs_to_detect,
    summarize,
    summarize_seeds,
)
from benchmarks.statistics.correlation import _kendall, _spearman
from benchmarks.statistics.relative import Unit


def test_mean_and_sample_deviation() -> None:
    summary = summarize([0.90, 0.92, 0.97])
    assert summary.mean == pytest.approx(0.93)
    assert summary.deviation == pytest.approx(np.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert (summary.n, summary.over) == (3, "training seeds")


def test_a_single_run_has_no_deviation() -> None:
    assert summarize([0.9]).deviation is None
    assert summarize_seeds({0: [0.9]}).deviation is None


def test_training_seeds_are_averaged_before_the_deviation_over_searches() -> None:
    summary = summarize_seeds({0: [0.8, 0.9], 1: [0.7, 0.7]})
    assert (summary.n, summary.over) == (2, "searches")
    assert summary.mean == pytest.approx(0.775)
    assert summary.deviation == pytest.approx(np.std([0.85, 0.7], ddof=1))


def test_one_search_with_several_training_seeds_says_so() -> None:
    assert summarize_seeds({4: [0.8, 0.9]}).over == "training seeds"


def test_improvement_is_relative_to_the_mean_random_cell() -> None:
    better = improvement([0.55], [0.4, 0.5, 0.6], unit="run")
    assert better is not None
    assert better.value == pytest.approx(0.1)


def test_improvement_is_the_inverse_ratio_where_lower_is_better() -> None:
    better = improvement([0.4], [0.5, 0.5, 0.5], unit="run", lower_is_better=[True])
    assert better is not None
    assert better.value == pytest.approx(0.5 / 0.4 - 1)


def test_a_single_run_has_neither_interval_nor_p() -> None:
    better = improvement([0.6], [0.4, 0.5, 0.6], unit="run")
    assert better is not None
    assert (better.interval, better.p) == (None, None)


def test_one_search_is_one_observation_against_the_sample_of_random_cells() -> None:
    cells = np.array([0.42, 0.47, 0.51, 0.55, 0.44])
    better = improvement([0.58], cells, unit="cell")
    assert better is not None
    assert better.interval is not None
    relative = cells / cells.mean()
    half = stats.t.ppf(0.975, 4) * relative.std(ddof=1) * np.sqrt(1 + 1 / 5)
    log_ratio = np.log(0.58 / cells.mean())
    assert better.interval.low == pytest.approx(np.exp(log_ratio - half) - 1)
    assert better.interval.high == pytest.approx(np.exp(log_ratio + half) - 1)
    assert "this one searched cell" in better.interval.covers


def test_several_searches_are_compared_by_welchs_t_test() -> None:
    ours, cells = np.array([0.58, 0.52, 0.61, 0.55, 0.57]), np.array([0.42, 0.47, 0.51, 0.45, 0.44])
    better = improvement(ours, cells, unit="search")
    assert better is not None
    assert better.interval is not None
    # On scores relative to their mean, shifted apart by the log ratio, it is scipy's own test.
    shift = np.log(ours.mean() / cells.mean())
    test = stats.ttest_ind(ours / ours.mean() + shift, cells / cells.mean(), equal_var=False)
    assert test.df < 9  # the limit on the degrees of freedom does not bind
    low, high = test.confidence_interval(0.95)
    assert better.interval.low == pytest.approx(np.expm1(low))
    assert better.interval.high == pytest.approx(np.expm1(high))
    assert better.p == pytest.approx(test.pvalue)


@pytest.mark.parametrize(
    ("ours", "cells", "unit"),
    [
        ([0.6, 0.5], [0.4, 0.5], "run"),  # two random cells
        ([0.6, 0.5], [0.4, 0.5, 0.6], "search"),  # two searches
        ([0.5, 0.5], [0.5, 0.5, 0.5], "run"),  # nothing varies
    ],
)
def test_no_interval_where_its_coverage_was_not_shown(ours: list[float], cells: list[float], unit: Unit) -> None:
    better = improvement(ours, cells, unit=unit)
    assert better is not None
    assert (better.interval, better.p) == (None, None)


@pytest.mark.parametrize("random_values", [[], [0.0, 0.0]])
def test_no_improvement_over_nothing(random_values: list[float]) -> None:
    assert improvement([0.6], random_values, unit="run") is None


def test_over_several_columns_it_is_the_mean_log_ratio_and_a_network_is_one_draw() -> None:
    rng = np.random.default_rng(0)
    ours, cells = rng.uniform(0.4, 0.6, (4, 3)), rng.uniform(0.3, 0.5, (6, 3))
    weights = [0.5, 0.25, 0.25]
    together = improvement(ours, cells, unit="search", weights=weights)
    alone = [improvement(ours[:, u], cells[:, u], unit="search") for u in range(3)]
    assert together is not None
    parts = [np.log1p(part.value) for part in alone if part is not None]
    assert together.value == pytest.approx(np.expm1(np.dot(weights, parts)))
    # The same cell twice in two columns is one cell: the interval does not narrow.
    doubled = improvement(np.repeat(ours[:, :1], 2, 1), np.repeat(cells[:, :1], 2, 1), unit="search")
    assert doubled is not None
    assert alone[0] is not None
    assert doubled.interval is not None
    assert alone[0].interval is not None
    assert doubled.interval.low == pytest.approx(alone[0].interval.low)


def test_holm_is_the_step_down_procedure() -> None:
    # Holm (1979): 0.01 x 4, 0.02 x 3 = 0.06, 0.03 x 2 = 0.06, 0.04 x 1 at least the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_kendall_counts_concordant_pairs() -> None:
    proxy, target = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 3.0, 2.0, 4.0, 6.0, 5.0]
    result = rank_correlation(proxy, target)
    assert result is not None
    signs = [np.sign((a - b) * (c - d)) for (a, c), (b, d) in itertools.combinations(zip(proxy, target), 2)]
    assert result.kendall == pytest.approx(np.mean(signs))
    assert result.spearman == pytest.approx(1 - 6 * 4 / (6 * 35))
    assert result.kendall_interval is not None
    assert -1 <= result.kendall_interval.low < result.kendall < result.kendall_interval.high <= 1


@pytest.mark.parametrize("batched", ["kendall", "spearman"])
@pytest.mark.parametrize("n", [9, 160])
def test_the_batched_correlations_are_those_of_scipy(batched: str, n: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (20, n)), rng.integers(0, 5, (20, n))  # with ties
    ours = {"kendall": _kendall, "spearman": _spearman}[batched](a, b)
    theirs = {"kendall": stats.kendalltau, "spearman": stats.spearmanr}[batched]
    assert ours == pytest.approx([theirs(x, y).statistic for x, y in zip(a, b)])


def test_correlation_needs_five_backbones_and_some_variation() -> None:
    assert rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]) is None
    assert rank_correlation([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]) is None


def test_a_perfect_order_has_no_interval() -> None:
    result = rank_correlation(range(8), range(8))
    assert result is not None
    assert result.kendall == pytest.approx(1)
    assert result.kendall_interval is None


def test_paired_interval_is_the_t_interval_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    queries = rng.normal(0, 10, 200)
    better = queries + 0.5 + rng.normal(0, 0.1, 200)
    result = paired_difference(better.tolist(), queries.tolist(), "queries")
    assert result is not None
    assert result.interval is not None
    low, high = stats.ttest_rel(better, queries).confidence_interval(0.95)
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high))
    assert result.interval.covers == "the choice of the 200 queries, not training seeds"


def test_queries_of_one_person_are_one_draw() -> None:
    # Four copies of every query say no more than one: with persons as groups the interval stays, without it halves.
    a, b = np.random.default_rng(2).random((2, 30))
    persons = np.arange(30)
    once = paired_difference(a, b, "queries")
    copied = paired_difference(np.tile(a, 4), np.tile(b, 4), "queries", np.tile(persons, 4).tolist())
    assert once is not None
    assert copied is not None
    assert once.interval is not None
    assert copied.interval is not None
    assert copied.interval.high - copied.interval.low == pytest.approx(once.interval.high - once.interval.low)
    assert "30 persons" in copied.interval.covers
    mean_once, mean_copied = mean_interval(a), mean_interval(np.tile(a, 4), "queries", np.tile(persons, 4).tolist())
    assert mean_once is not None
    assert mean_copied is not None
    assert (mean_copied.low, mean_copied.high) == pytest.approx((mean_once.low, mean_once.high))


def test_the_interval_of_a_mean_stays_between_0_and_1() -> None:
    interval = mean_interval([1.0] * 9 + [0.0])
    assert interval is not None
    assert 0 < interval.low < 0.9 < interval.high < 1
    assert mean_interval([1.0] * 10) is None


def test_paired_values_must_come_in_pairs() -> None:
    with pytest.raises(ValueError):
        paired_difference([1, 2, 3], [1, 2])
    assert paired_difference([1, 2], [1, 2]) is None


def test_pareto_front_keeps_what_nothing_dominates() -> None:
    assert pareto_front([1, 2, 3, 2], [0.1, 0.3, 0.2, 0.3]) == [True, True, False, True]
    assert pareto_front([1, 2], [0.5, 0.6], higher_is_better=False) == [True, False]
    assert pareto_front([], []) == []


def test_runs_to_detect_agrees_with_the_textbook() -> None:
    # Cohen (1988), table 2.4.1: d = 0.5, power 0.80, two-sided 5 %: 64 a group; d = 0.8: 26.
    assert runs_to_detect(0.5, 1.0) == 64
    assert runs_to_detect(0.8, 1.0) == 26
    assert runs_to_detect(0.0, 1.0) is None
    assert runs_to_detect(0.001, 1.0) is None


def test_the_upper_limit_of_a_deviation_covers_it() -> None:
    samples = np.random.default_rng(0).normal(0, 1, (4000, 4)).std(axis=1, ddof=1)
    assert np.mean([deviation_limit(sample, 3) >= 1 for sample in samples]) == pytest.approx(0.95, abs=0.015)
