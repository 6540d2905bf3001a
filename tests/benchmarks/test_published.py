"""The paper's tables, rendered from data, print the paper's numbers; its misprints are footnoted."""

from __future__ import annotations

import csv
import io

import pytest

from benchmarks.published import TABLE_NAMES, ablations, inconsistencies, number, paper, published_table
from benchmarks.render import render
from benchmarks.render.csv import table_to_csv
from benchmarks.tables import Table
from benchmarks.tables.published import published_tables
from nas.errors import UnknownName

# Rows as they stand in the paper, in its column order; one or more from every block of every table.
GOLDEN = {
    "table1": [
        "DenseNet-BC (Huang et al. 2017) | 3.46 | 17.18 | 25.6 | – | manual",
        "DARTS (first order) + cutout (Liu et al. 2019a) | 3.00 | 17.76 | 3.3 | 1.5 | gradient-based",
        "DARTS (second order) + cutout (Liu et al. 2019a) | 2.76 | 17.54 | 3.3 | 4.0 | gradient-based",
        "P-DARTS (searched on CIFAR10) + cutout | 2.50 | 17.20 | 3.4 | 0.3 | gradient-based",
        "P-DARTS (searched on CIFAR100) + cutout | 2.62 | 15.92 | 3.6 | 0.3 | gradient-based",
        "P-DARTS (searched on CIFAR100, large) + cutout | 2.43 | 14.64 | 11.0 | 0.3 | gradient-based",
    ],
    "table2": ["1 | 9.8 | 14.0 | 14.2", "2 | 9.8 | 14.4 | 14.5", "3 | 9.8 | 14.2 | 14.3"],
    "table3": [
        "ShuffleNet V1 2x (Zhang et al. 2018) | 26.4 | 10.2 | ~5 | 524 | – | manual",
        "DARTS (second order) (Liu et al. 2019a) | 26.7 | 8.7 | 4.7 | 574 | 4.0 | gradient-based",
        "P-DARTS (searched on CIFAR10) | 24.4 | 7.4 | 4.9 | 557 | 0.3 | gradient-based",
        "P-DARTS (searched on ImageNet) | 24.1 | 7.3 | 5.4 | 597 | 2.0 | gradient-based",
    ],
    "table4": [
        "SSD512 (Liu et al. 2016) | 512 | VGG-16 | 80.4 | 26.8 | 46.5 | 27.8 | 9.0 | 28.9 | 41.9",
        "SSDLiteV2 (Sandler et al. 2018) | 320 | MobileNetV2 | 0.7 | 22.1 | – | – | – | – | –",
        "SSD320 (Liu et al. 2016) | 320 | P-DARTS (CIFAR10) | 1.1 | 28.9 | 46.8 | 30.2 | 7.3 | 32.2 | 48.2",
        "SSD512 (Liu et al. 2016) | 512 | P-DARTS (ImageNet) | 3.1 | 34.1 | 52.9 | 36.3 | 14.3 | 40.0 | 52.1",
    ],
    "table5": [
        "ResNet-50 | 1 | 2048 | 4120 | 87.86 | 72.8 | 71.99 | 57.21 | 48.33 | 24.62",
        "P-DARTS (CIFAR10) | 3 | 768 | 556 | 94.59 | 84.78 | 87.25 | 75.53 | 79.52 | 55.98",
        "ResNet-50 | 6 | 2048 | 4120 | 93.08 | 81.02 | 86.13 | 74.03 | 71.12 | 46.00",
    ],
}
ROWS = {"table1": 17, "table2": 3, "table3": 19, "table4": 12, "table5": 12}


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {table.name: table for table in published_tables()}


def printed_rows(table: Table) -> list[str]:
    """The rows of the CSV as one line each, dashes for empty cells."""
    lines = csv.DictReader(io.StringIO(table_to_csv(table)))
    return [" | ".join(line[column.key] or "–" for column in table.columns) for line in lines]


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_published_tables_print_the_numbers_of_the_paper(tables: dict[str, Table], name: str) -> None:
    rows = printed_rows(tables[name])
    assert len(rows) == ROWS[name]
    assert [row for row in GOLDEN[name] if row not in rows] == []


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_a_value_times_its_scale_is_the_printed_number(tables: dict[str, Table], name: str) -> None:
    for row in tables[name].rows():
        for column in tables[name].columns:
            cell = row.cell(column)
            if column.numeric and cell.value is not None:
                assert cell.value * column.scale == pytest.approx(number(cell.text))


def test_manual_networks_stand_in_their_own_block(tables: dict[str, Table]) -> None:
    blocks = {name: {b.title: len(b.rows) for b in table.blocks} for name, table in tables.items()}
    assert blocks["table1"] == {"Networks designed by hand": 1, "Searched cells": 16}
    assert blocks["table3"] == {"Networks designed by hand": 4, "Searched cells": 15}
    assert blocks["table4"] == {"Networks designed by hand": 5, "Searched cells": 7}
    assert blocks["table5"] == {"Networks designed by hand": 3, "Searched cells": 9}


def test_every_published_block_names_its_table_of_the_paper(tables: dict[str, Table]) -> None:
    for name, table in tables.items():
        assert {block.source for block in table.blocks} == {f"P-DARTS (journal version), Table {name[-1]}"}


def test_the_misprint_in_table_5_is_footnoted_at_its_cell(tables: dict[str, Table]) -> None:
    table = tables["table5"]
    cell = next(c for row in table.rows() if (c := row.cells["duke_rank1"]).text == "89.98")
    note = next(note for note in table.notes if note.mark and note.mark in cell.marks)
    assert "looks like a misprint" in note.text
    assert f"| 89.98<sup>{note.mark}</sup> |" in render([table], "markdown")


def test_daggers_stand_where_the_paper_has_them(tables: dict[str, Table]) -> None:
    marked = {
        (row.cells["architecture"].text or "").split(" + ")[0]: key
        for row in tables["table1"].rows()
        for key, cell in row.cells.items()
        if "†" in cell.marks
    }
    assert marked == {"DARTS (first order)": "c100", "DARTS (second order)": "c100"}
    assert [r.cells["backbone"].text for r in tables["table4"].rows() if "†" in r.cells["network"].marks] == [
        "ResNet-101"
    ]


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_every_mark_has_a_note_and_every_marked_note_a_cell(tables: dict[str, Table], name: str) -> None:
    table = tables[name]
    used = {mark for row in table.rows() for cell in row.cells.values() for mark in cell.marks}
    used |= {mark for column in table.columns for mark in column.marks}
    assert used == {note.mark for note in table.notes if note.mark}


def test_every_ablation_names_its_source_and_every_inconsistency_its_places() -> None:
    assert all(entry["source"] for entry in ablations().values())
    assert ablations()["refinement"]["after"] == {"mean": 2.65, "sd": 0.05, "skips": [2, 2, 2]}
    for entry in inconsistencies():
        for place in entry.get("marks", ()):
            assert set(place["columns"]) <= set(published_table(place["table"]).columns), entry["id"]
    assert "Progressive DARTS" in paper()["title"]


def test_an_unknown_published_table_is_refused() -> None:
    with pytest.raises(UnknownName, match="table4"):
        published_table("tabel4")


def test_number_reads_what_is_printed() -> None:
    assert (number("3.00"), number("~5"), number(None), number("manual")) == (3.0, 5.0, None, None)
