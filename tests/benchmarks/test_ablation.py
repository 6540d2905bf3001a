"""The tables of the ablations and of the search: the paper's numbers beside what was measured, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from synthetic import mini_results

from benchmarks.store import Result
from benchmarks.suite import load_suite
from benchmarks.tables.ablation import ABLATIONS, ablation_tables
from benchmarks.tables.build import build_tables
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.search import search_table
from benchmarks.tables.table import Row, Table

MakeResult = Callable[..., Result]


def measured(make_result: MakeResult, suite: str, scores: dict[str, list[float]]) -> Measurements:
    """Accuracies of each backbone, one a search seed."""
    results = []
    for name, values in scores.items():
        for seed, value in enumerate(values):
            result = make_result(key=f"{name}-{seed}", value=value)
            genotype = mini_results()[0].backbone.genotype
            backbone = result.backbone.model_copy(
                update={"name": name, "kind": "searched", "search_seed": seed, "genotype": genotype}
            )
            results.append(result.model_copy(update={"suite": suite, "backbone": backbone}))
    return Measurements(results)


def row(table: Table, name: str) -> Row:
    return next(row for row in table.rows() if row.cells["name"].text == name)


def published(table: Table) -> dict[str, float]:
    return {
        str(row.cells["name"].text): round(100 * row.cells["published"].value, 4)
        for row in table.rows()
        if row.cells["published"].value is not None
    }


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda ablation: ablation.suite)
@pytest.mark.parametrize("scale", [None, "small"])
def test_the_suites_name_their_backbones_after_the_rows(ablation: Any, scale: str | None) -> None:
    names = {entry.name or entry.zoo for entry in load_suite(ablation.suite, scale)[0].backbones}
    assert {line.backbone for lines in ablation.blocks.values() for line in lines} <= names


def test_published_errors_are_the_papers(make_result: MakeResult) -> None:
    tables = [next(ablation_tables(measured(make_result, a.suite, {"x": [0.9]}))) for a in ABLATIONS]
    depth, approximation, regularization = map(published, tables)
    assert depth == {"stage 1": 2.90, "stage 2": 2.82, "stage 3": 2.58, "DARTS (second order)": 2.83}
    assert approximation == {
        "approximated space": 2.58,
        "random space": 3.43,
        "fixed depth": 2.70,
        "DARTS (first order)": 3.00,
    }
    assert [regularization[f"no dropout, M = {m}"] for m in (2, 3, 4)] == [2.93, 3.28, 3.51]
    assert [regularization[f"dropout, M = {m}"] for m in (0, 1, 3, 4)] == [2.78, 2.68, 2.84, 2.97]
    assert (regularization["dropout, unrefined"], regularization["dropout, M = 2"]) == (2.79, 2.65)
    assert regularization["DARTS (first order), regularised"] == 2.78


def test_a_row_is_a_mean_a_first_or_a_best_of_the_searches(make_result: MakeResult) -> None:
    scores = {"random space": [0.90, 0.94, 0.95]}
    table = next(ablation_tables(measured(make_result, "paper-approximation-small", scores)))
    assert row(table, "random space").cells["error_digits"].value == pytest.approx(0.07)
    assert row(table, "random space").cells["error_digits"].n == 3
    best = row(table, "random space, best of 3 on the test images, as published")
    assert best.cells["error_digits"].value == pytest.approx(0.05)
    assert best.role == "best"  # it does not compete for the bold print
    several = measured(make_result, "paper-regularization", {"dropout, M = 2": [0.90, 0.94]})
    first, mean = [r for r in next(ablation_tables(several)).rows() if r.cells["name"].text == "dropout, M = 2"]
    assert first.cells["error_digits"].value == pytest.approx(0.10)
    assert mean.cells["error_digits"].value == pytest.approx(0.08)
    assert mean.cells["published"].deviation == pytest.approx(0.0005)


def test_other_suites_have_no_ablation_table() -> None:
    assert list(ablation_tables(Measurements(mini_results()))) == []


def test_table_2_gives_every_stage_of_every_search_beside_the_papers() -> None:
    stages = [{"peak_memory_bytes": int(gb * 1e9), "seconds": 60.0, "survivors": None} for gb in (9.8, 14.0, 14.2)]
    search = next(r for r in mini_results() if r.kind == "search" and r.backbone.kind == "searched")
    search = search.model_copy(update={"details": {"stages": stages}})
    assert search_table(Measurements(r for r in mini_results() if r.kind != "search")) is None
    table = next(t for t in build_tables([search], published=True) if t.name == "search")
    ours, *theirs = table.rows()
    columns = [next(c for c in table.columns if c.key == f"stage{i}") for i in (1, 2, 3)]
    assert [round(ours.cell(c).value * c.scale, 1) for c in columns] == [9.8, 14.0, 14.2]
    assert [[r.cell(c).text for c in columns] for r in theirs] == [
        ["9.8", "14.0", "14.2"],
        ["9.8", "14.4", "14.5"],
        ["9.8", "14.2", "14.3"],
    ]
    assert table.blocks[-1].source == "P-DARTS (journal version), Table 2"
