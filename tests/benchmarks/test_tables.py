"""The measured tables: what stands in which cell, what is refused, what is said below."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import synthetic
from reading import notes, on_published_data, row, table
from scipy import stats
from synthetic import backbones, classify_result, make_result, mini_results

from benchmarks.render import FORMATS, render, write_tables
from benchmarks.store import Metric, Result
from benchmarks.tables import Block, Cell, Column, Row, Table
from benchmarks.tables.build import build_tables
from benchmarks.tables.measurements import MixedProtocols


def test_the_mini_suite_gives_all_seven_tables() -> None:
    assert [t.name for t in build_tables(mini_results())] == [
        "classification",
        "detection",
        "reid",
        "wild",
        "ranks",
        "correlation",
        "search",
    ]


def test_detection_has_the_columns_of_table_4_in_its_order() -> None:
    heads = [column.title for column in table("detection", mini_results()).columns]
    assert heads == [
        "Network",
        "Input",
        "Backbone",
        "Multiply-adds",
        "Params",
        "AP",
        "AP50",
        "AP75",
        "APS",
        "APM",
        "APL",
    ]


def test_reid_rows_are_backbone_by_parts_with_two_metrics_a_set() -> None:
    reid = table("reid", mini_results())
    groups = [(column.group, column.title) for column in reid.columns if column.group]
    sets = ("Market-1501", "DukeMTMC-reID", "MSMT17")
    assert groups == [(data, metric) for data in sets for metric in ("Rank-1", "mAP")]
    found = [r.cells["parts"].text for r in reid.rows() if r.cells["name"].text == "pdarts@digits"]
    assert found == ["1", "3", "6"]
    assert row(reid, "pdarts@digits", parts="6").cells["feat_dim"].value == 1536


def test_a_cell_is_the_mean_over_its_seeds() -> None:
    backbone = next(backbones())
    results = [classify_result(backbone, seed, top1) for seed, top1 in ((0, 0.90), (1, 0.96))]
    cell = row(table("classification", results), "pdarts@digits").cells["digits_top1"]
    assert (cell.value, cell.n) == (pytest.approx(0.93), 2)
    assert cell.deviation == pytest.approx(0.03 * 2**0.5)


def test_a_single_run_has_no_plus_minus() -> None:
    for name in ("classification", "detection", "reid"):
        built = table(name, mini_results())
        assert all(c.deviation is None for r in built.rows() if r.role == "measured" for c in r.cells.values())
        assert "a single run has no ±" in notes(built)


def test_the_gain_is_relative_to_the_mean_random_cell_of_the_same_column() -> None:
    built = table("detection", mini_results())
    mean = row(built, "random cells, mean of 3").cells["coco_AP"]
    cell = row(built, "darts_v2").cells["coco_AP"]
    assert mean.value is not None
    assert cell.value is not None
    assert cell.gain == pytest.approx(cell.value / mean.value - 1)
    assert (mean.n, mean.deviation is not None, mean.gain) == (3, True, None)


def test_a_network_outside_the_search_space_has_no_gain() -> None:
    assert row(table("detection", mini_results()), "timm:resnet10t").cells["coco_AP"].gain is None


def test_the_chance_level_stands_under_every_metric() -> None:
    for name, key, chance in (("classification", "digits_top1", 0.1), ("classification", "digits_top1_error", 0.9),
                              ("detection", "coco_AP", 0.001), ("reid", "msmt17_mAP", 0.05)):  # fmt: skip
        assert row(table(name, mini_results()), "chance level").cells[key].value == pytest.approx(chance)


def test_protocol_seeds_and_n_stand_under_the_table() -> None:
    text = notes(table("reid", mini_results(seeds=(3, 4))))
    assert "reid-mini v1 [01234567]" in text
    assert "market1501 f00dfeed0123 (query/gallery)" in text
    assert "training 3, 4; search 0" in text
    assert "n = 2" in text


def test_what_a_task_says_about_its_data_stands_under_the_table() -> None:
    text = notes(table("reid", mini_results()))
    assert text.count("market1501: 100 training images.") == 1


def test_two_protocols_in_one_column_are_refused() -> None:
    backbone = next(backbones())
    results = [*mini_results(), classify_result(backbone, 0, 0.5, protocol_hash="other0000000", protocol_version=2)]
    with pytest.raises(MixedProtocols, match=r"classify digits.*retrain-mini v1 \[01234567\].*retrain-mini v2"):
        build_tables(results)


def test_two_versions_of_the_data_in_one_column_are_refused() -> None:
    backbone = next(backbones())
    result = classify_result(backbone, 0, 0.5, protocol_hash="0123456789ab")
    moved = result.model_copy(
        update={"key": "moved", "provenance": result.provenance.model_copy(update={"data_version": "v2"})}
    )
    with pytest.raises(MixedProtocols, match="digits v2"):
        build_tables([*mini_results(), moved])


def test_mixed_protocols_stay_apart_and_every_cell_is_marked() -> None:
    backbone = next(backbones())
    results = [*mini_results(), classify_result(backbone, 0, 0.5, protocol_hash="other0000000", protocol_version=2)]
    built = table("classification", results, allow_mixed=True)
    cells = [r.cells["digits_top1"] for r in built.rows() if r.cells["name"].text == "pdarts@digits"]
    assert [cell.marks for cell in cells] == [("a",), ("b",)]
    assert cells[1].value == 0.5
    assert cells[1].gain is None  # no random cell was trained by that protocol
    marked = {note.mark: note.text for note in built.notes if note.mark}
    assert "retrain-mini v1" in marked["a"]
    assert "retrain-mini v2" in marked["b"]


def test_best_of_k_is_chosen_by_the_held_out_half_of_the_proxy_and_costs_all_searches() -> None:
    results = [searched_with(result, held_out=(0.3, 0.5, 0.4)) for result in mini_results(search_seeds=(0, 1, 2))]
    built = table("classification", results)
    best = row(built, "pdarts@digits, best of 3 by held-out accuracy of the search")
    (chosen,) = (
        r.metrics["top1"].value
        for r in results
        if (r.kind, r.backbone.name, r.backbone.search_seed) == ("classify", "pdarts@digits", 1)
    )
    assert best.cells["digits_top1"].value == pytest.approx(chosen)
    assert best.cells["cost"].value == pytest.approx(3 * 28.0)
    assert row(built, "pdarts@digits").cells["cost"].value == pytest.approx(28.0)


def test_without_a_held_out_accuracy_no_search_is_called_the_best() -> None:
    built = table("classification", mini_results(search_seeds=(0, 1, 2)))
    assert not [r for r in built.rows() if r.role == "best"]


def searched_with(result: Result, held_out: tuple[float, ...]) -> Result:
    """The search with the accuracy of its seed on the held-out half; any other result as it is."""
    if result.kind != "search" or result.backbone.search_seed is None or not result.details:
        return result
    trajectory = [{"epoch": 0, "validation_accuracy": held_out[result.backbone.search_seed]}]
    return result.model_copy(update={"details": {"stages": [{"trajectory": trajectory}]}})


def test_bold_marks_all_that_cannot_be_told_from_the_best_and_nothing_where_n_is_1() -> None:
    column = Column("x", "X", higher_is_better=True)
    cells = {
        "best": Cell(0.90, deviation=0.01, n=5),
        "close": Cell(0.895, deviation=0.01, n=5),
        "far": Cell(0.80, deviation=0.01, n=5),
        "once": Cell(0.89, n=1),
    }
    # scipy's Welch test: p = 0.45 for the close one, 4e-7 for the far one.
    assert stats.ttest_ind_from_stats(0.90, 0.01, 5, 0.895, 0.01, 5, equal_var=False).pvalue > 0.05
    rows = tuple(Row({"x": cell}) for cell in cells.values())
    built = Table("t", "T", (column,), (Block("B", rows),))
    assert {name: built.bold(cell, column) for name, cell in cells.items()} == {
        "best": True, "close": True, "far": False, "once": False,
    }  # fmt: skip
    single = Table("t", "T", (column,), (Block("B", (*rows, Row({"x": Cell(0.95, n=1)}))),))
    assert not any(single.bold(cell, column) for cell in cells.values())


def test_published_rows_are_a_block_of_their_own_with_source_and_warning() -> None:
    built = table("detection", mini_results(), published=True)
    block = built.blocks[-1]
    assert block.source == "P-DARTS (journal version), Table 4"
    assert {r.role for r in block.rows} == {"published"}
    assert [r.cells["coco_AP"].text for r in block.rows][-1] == "34.1"
    assert "do not compare" in notes(built)
    assert all(not b.source for b in table("detection", mini_results()).blocks)


@pytest.mark.parametrize("entry", ["coco", "street"])
def test_table_4_is_compared_by_what_the_data_are_and_not_by_their_name(entry: str) -> None:
    named = [r.model_copy(update={"task": entry}) if r.kind == "detect" else r for r in mini_results()]
    real = table("detection", on_published_data(named, entry), published=True)
    assert "on MS-COCO test-dev, the rows above on val2017: about as difficult, not the same images" in notes(real)
    assert "do not compare" not in notes(real)
    for other in (named, on_published_data(named)):
        assert "so the two do not compare" in notes(table("detection", other, published=True))


def test_a_task_of_ones_own_gets_a_table_and_counts_as_a_target() -> None:
    speeds = [
        make_result(b, "latency", "phone", {"ms": Metric(value=10.0 + i, higher_is_better=False, unit="ms")})
        for i, b in enumerate(backbones())
    ]
    built = table("latency", [*mini_results(), *speeds])
    first = row(built, "pdarts@digits").cells["phone_ms"]
    assert first.value == 10.0
    assert first.gain is not None
    assert first.gain > 0  # faster than the random cells
    best = built.best(next(c for c in built.columns if c.key == "phone_ms"))
    assert best is not None
    assert best.value == 10.0
    wild = table("wild", [*mini_results(), *speeds])
    assert "latency phone" in {column.key for column in wild.columns}


def test_top5_is_left_out_where_it_says_little() -> None:
    assert not any("top5" in column.key for column in table("classification", mini_results()).columns)
    backbone = next(backbones())
    many = classify_result(backbone, 0, 0.5).model_copy(
        update={"key": "imagenet", "task": "imagenet", "metrics": {
            "top1": Metric(value=0.5, chance=0.001), "top5": Metric(value=0.75, chance=0.005)}}
    )  # fmt: skip
    built = table("classification", [many])
    assert row(built, "pdarts@digits").cells["imagenet_top5_error"].value == pytest.approx(0.25)


def test_duke_stays_as_an_empty_column_and_the_reason_is_given() -> None:
    results = [r for r in mini_results() if r.task != "dukemtmcreid"]
    built = table("reid", results)
    assert "DukeMTMC-reID" in {column.group for column in built.columns}
    assert "withdrawn" in notes(built)


def test_the_same_result_twice_counts_once() -> None:
    results = mini_results()
    assert build_tables(results + results) == build_tables(results)


def test_write_tables_writes_three_files(tmp_path: Path) -> None:
    paths = write_tables(tmp_path, mini_results())
    assert [path.name for path in paths] == ["tables.md", "tables.tex", "results.csv"]
    assert all(path.stat().st_size > 500 for path in paths)


def test_no_results_give_no_tables(tmp_path: Path) -> None:
    assert build_tables([]) == []
    assert all(path.is_file() for path in write_tables(tmp_path, []))


def test_two_thousand_results_are_rendered_within_three_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "RANDOM_CELLS", 70)
    results = mini_results(seeds=(0, 1, 2), search_seeds=tuple(range(8)))
    assert len(results) > 1900
    start = time.process_time()  # of this process: the machine may be busy with others
    tables = build_tables(results, published=True)
    for name in FORMATS:
        render(tables, name)
    assert time.process_time() - start < 3
