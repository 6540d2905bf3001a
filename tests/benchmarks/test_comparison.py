"""All backbones over all target data sets: who takes part, what a score is, and how it is drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats
from synthetic import mini_results

from benchmarks.comparison import RANDOM, compare_backbones
from benchmarks.report.ranks import critical_difference_diagram, rank_figures
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.ranks import rank_table


def test_every_backbone_with_all_data_sets_takes_part_and_the_random_cells_as_one() -> None:
    found = compare_backbones(Measurements(mini_results()))
    assert found is not None
    assert found.names == ("pdarts@digits", "darts@digits", "pdarts_cifar10", "darts_v2", "timm:resnet10t", RANDOM)
    assert found.data_sets == ("detect coco", "reid dukemtmcreid", "reid market1501", "reid msmt17")
    market = [
        r.metrics["mAP"].value
        for r in mini_results()
        if (r.backbone.name, r.task, r.kind) == ("darts_v2", "market1501", "reid")
    ]
    assert len(market) == 3  # numbers of parts: one data set
    assert found.scores[3, 2] == pytest.approx(np.mean(market))
    assert found.test.friedman_p == pytest.approx(stats.friedmanchisquare(*found.scores).pvalue)


def test_a_backbone_that_misses_a_set_is_left_out_and_named() -> None:
    results = [r for r in mini_results() if not (r.backbone.name == "darts_v2" and r.kind == "detect")]
    found = compare_backbones(Measurements(results))
    assert found is not None
    assert found.incomplete == ("darts_v2",)
    table = rank_table(Measurements(results))
    assert table is not None
    assert "Left out, not measured on every set: darts_v2." in [note.text for note in table.notes]
    assert "darts_v2" not in [row.cells["name"].text for row in table.rows()]


def test_the_mean_random_cell_is_at_one_and_single_runs_have_no_interval() -> None:
    table = rank_table(Measurements(mini_results()))
    assert table is not None
    for row in table.rows():
        if row.cells["name"].text != RANDOM:
            assert row.cells["iqm"].interval is None
            assert row.cells["n"].value == 1
    found = compare_backbones(Measurements(mini_results()))
    assert found is not None
    assert found.relative[RANDOM].mean(axis=0) == pytest.approx(np.ones(4))


def test_bars_join_the_ranks_that_are_closer_than_the_critical_difference() -> None:
    drawing = critical_difference_diagram(["a", "b", "c", "d"], [1.0, 1.5, 3.2, 4.0], 1.0)
    joined = re.findall(r'class="bar-joined" x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)"', drawing)
    assert len(joined) == 2  # a with b, c with d
    assert float(joined[0][1]) < float(joined[1][0])
    assert 'aria-label="Mean ranks: a 1.00, b 1.50, c 3.20, d 4.00"' in drawing


def test_both_figures_are_drawn_and_nothing_without_targets() -> None:
    assert len(list(rank_figures(Measurements(mini_results())))) == 2
    digits = [result for result in mini_results() if result.kind == "classify"]
    assert list(rank_figures(Measurements(digits))) == []
