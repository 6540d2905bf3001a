"""Searches in the form of Table 2: peak memory of every stage, one row per run; and the time beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.store import Result
from benchmarks.tables.keys import Point
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table

GIGABYTE = 1e9  # as Table 2 counts


def search_table(measured: Measurements) -> Table | None:
    """Peak memory and seconds of every stage of every search; None where nothing was searched in stages."""
    searches = [search for search in measured.searches if search.details.get("stages")]
    if not searches:
        return None
    most = max(len(search.details["stages"]) for search in searches)
    peaks = [stage.get("peak_memory_bytes") or 0 for search in searches for stage in search.details["stages"]]
    decimals = 1 if max(peaks) >= GIGABYTE else 2
    rows = tuple(_row(measured, search) for search in sorted(searches, key=_order))
    devices = "; ".join(sorted({search.cost.device for search in searches}))
    return Table(
        name="search",
        caption="Searches: peak memory and time of every stage",
        columns=(
            Column("run", "Search", numeric=False, identifies=True),
            *(Column(f"stage{i}", f"Stage {i}", "peak memory", "GB", 1 / GIGABYTE, decimals) for i in _to(most)),
            *(Column(f"seconds{i}", f"Stage {i}", "time", "s", decimals=0) for i in _to(most)),
            Column("skips", "Skips", decimals=0),
        ),
        blocks=(Block("Searches", rows),),
        notes=(
            Note(
                f"Measured on {devices}. On a GPU the peak is what PyTorch allocated, on a CPU the memory of the "
                "whole process, libraries included."
            ),
            Note("Skips: skip-connects in the normal cell that was found."),
        ),
    )


def _to(most: int) -> range:
    return range(1, most + 1)


def _order(search: Result) -> tuple[str, int]:
    return search.backbone.name, search.backbone.search_seed or 0


def _row(measured: Measurements, search: Result) -> Row:
    stages: Sequence[Mapping[str, Any]] = search.details["stages"]
    cells = {"run": Cell(text=measured.label(Point.of(search))), "skips": Cell(_skips(search))}
    for number, stage in enumerate(stages, 1):
        cells[f"stage{number}"] = Cell(stage.get("peak_memory_bytes"))
        cells[f"seconds{number}"] = Cell(stage.get("seconds"))
    return Row(cells)


def _skips(search: Result) -> float | None:
    genotype = search.backbone.genotype
    if genotype is None:
        return None
    return float(sum(operation == "skip_connect" for node in genotype["normal"]["nodes"] for operation, _ in node))
