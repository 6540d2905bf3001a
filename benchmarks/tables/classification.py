"""Classification in the form of Tables 1 and 3: error, accuracy, parameters, multiply-adds, search cost, method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.store import Result
from benchmarks.tables.describe import cost_column, name_cells, search_cost_cells, size_cells, size_columns
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.notes import cost_note, notes
from benchmarks.tables.rows import MetricColumn, RowBuilder
from benchmarks.tables.table import Cell, Column, Note, Table

TOP5_CHANCE = 0.1  # with fewer than 50 classes the top-5 error says little and is left out


def classification_table(measured: Measurements) -> Table | None:
    """The table of every classification task, None if there is none."""
    tasks = measured.kind("classify")
    if not tasks:
        return None
    names = list(dict.fromkeys(task.name for task in tasks))
    metrics = [column for name in names for column in _columns(measured, name)]

    def describe(results: Sequence[Result]) -> Mapping[str, Cell]:
        first = min((result.task for result in results), key=names.index)
        sized = [result for result in results if result.task == first]  # networks for other data may be others
        return {**name_cells(results), **size_cells(sized), **search_cost_cells(measured, results)}

    builder = RowBuilder(measured, "classify", metrics, describe)
    blocks = builder.blocks()
    results = [result for result in measured.results if result.kind == "classify"]
    return Table(
        name="classification",
        caption=f"Classification: {', '.join(names)}",
        columns=(
            Column("name", "Architecture", numeric=False, identifies=True),
            *(metric.column for metric in metrics),
            *size_columns(row.cells for block in blocks for row in block.rows),
            cost_column(measured.searches),
            Column("method", "Method", numeric=False),
        ),
        blocks=blocks,
        notes=(*notes(builder, blocks), *_size_note(names), *cost_note(measured, results)),
    )


def _size_note(names: Sequence[str]) -> Iterator[Note]:
    if len(names) > 1:
        yield Note(f"Params and multiply-adds: of a row's network for the first of {', '.join(names)} that it has.")


def _columns(measured: Measurements, name: str) -> list[MetricColumn]:
    def percent(key: str, title: str, higher: bool) -> Column:
        return Column(f"{name}_{key}", title, group=name, unit="%", scale=100, decimals=2, higher_is_better=higher)

    columns = [
        MetricColumn(percent("top1_error", "Top-1 err.", False), name, "top1", error=True),
        MetricColumn(percent("top1", "Top-1 acc.", True), name, "top1"),
    ]
    if _many_classes(measured, name):
        columns.insert(1, MetricColumn(percent("top5_error", "Top-5 err.", False), name, "top5", error=True))
    return columns


def _many_classes(measured: Measurements, name: str) -> bool:
    found = [
        r.metrics["top5"] for r in measured.results if r.kind == "classify" and r.task == name and "top5" in r.metrics
    ]
    return bool(found) and all(metric.chance is None or metric.chance <= TOP5_CHANCE for metric in found)
