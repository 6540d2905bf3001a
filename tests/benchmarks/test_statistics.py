"""The statistics against their definitions, and what they refuse to say about small samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import (
    _kendall,
    _spearman,
    paired_difference,
    pareto_front,
    rank_correlation,
    relative_improvement,
    runs_to_detect,
    summarize,
    summarize_seeds,
)


def test_mean_and_sample_deviation() -> None:
    summary = summarize([0.90, 0.92, 0.97])
    assert summary.mean == pytest.approx(0.93)
    assert summary.deviation == pytest.approx(np.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert (summary.n, summary.over) == (3, "seeds")


def test_a_single_run_has_no_deviation() -> None:
    assert summarize([0.9]).deviation is None
    assert summarize_seeds({0: [0.9]}).deviation is None


def test_training_seeds_are_averaged_before_the_deviation_over_searches() -> None:
    summary = summarize_seeds({0: [0.8, 0.9], 1: [0.7, 0.7]})
    assert (summary.n, summary.over) == (2, "search seeds")
    assert summary.mean == pytest.approx(0.775)
    assert summary.deviation == pytest.approx(np.std([0.85, 0.7], ddof=1))


def test_one_search_with_several_training_seeds_says_so() -> None:
    assert summarize_seeds({4: [0.8, 0.9]}).over == "seeds"


def test_relative_improvement_is_relative_to_the_mean_random_cell() -> None:
    better = relative_improvement([0.55], [0.4, 0.5, 0.6])
    assert better is not None
    assert better.value == pytest.approx(0.1)


def test_relative_improvement_turns_its_sign_where_lower_is_better() -> None:
    better = relative_improvement([0.4], [0.5, 0.5, 0.5], higher_is_better=False)
    assert better is not None
    assert better.value == pytest.approx(0.2)


def test_the_interval_of_one_run_covers_the_random_cells_only() -> None:
    better = relative_improvement([0.6], [0.4, 0.5, 0.6])
    assert better is not None
    assert better.interval is not None
    # The extreme resamples are three times the best and three times the worst random cell.
    assert 0.0 <= better.interval.low < better.value < better.interval.high <= 0.5
    assert better.interval.covers == "the choice of the 3 random cells, not the variation between runs"


def test_several_runs_widen_the_interval_and_it_says_so() -> None:
    narrow = relative_improvement([0.6], [0.49, 0.5, 0.51])
    wide = relative_improvement([0.5, 0.6, 0.7], [0.49, 0.5, 0.51])
    assert narrow is not None
    assert wide is not None
    assert narrow.interval is not None
    assert wide.interval is not None
    assert wide.interval.high - wide.interval.low > narrow.interval.high - narrow.interval.low
    assert "3 runs" in wide.interval.covers


@pytest.mark.parametrize("random_values", [[0.4, 0.5], [0.0, 0.4, 0.5]])
def test_no_interval_for_two_random_cells_or_one_that_scores_zero(random_values: list[float]) -> None:
    better = relative_improvement([0.6], random_values)
    assert better is not None
    assert better.interval is None


@pytest.mark.parametrize("random_values", [[], [0.0, 0.0]])
def test_no_improvement_over_nothing(random_values: list[float]) -> None:
    assert relative_improvement([0.6], random_values) is None


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


def test_paired_bootstrap_sees_a_difference_that_unpaired_scatter_would_hide() -> None:
    rng = np.random.default_rng(1)
    queries = rng.normal(0, 10, 200)
    better = queries + 0.5 + rng.normal(0, 0.1, 200)
    result = paired_difference(better.tolist(), queries.tolist(), "queries")
    assert result is not None
    assert 0.4 < result.interval.low < result.mean < result.interval.high < 0.6
    assert result.interval.covers == "the choice of the 200 queries, not training seeds"


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


def test_intervals_are_the_same_every_time() -> None:
    assert relative_improvement([0.6], [0.4, 0.5, 0.6]) == relative_improvement([0.6], [0.4, 0.5, 0.6])
