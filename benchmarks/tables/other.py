"""Registered tasks: a table of the same form for any of them, with the metrics that it reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.store import Metric, Result
from benchmarks.tables.describe import name_cells, size_cells, size_columns
from benchmarks.tables.keys import data_set_title
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.notes import notes
from benchmarks.tables.rows import MetricColumn, RowBuilder
from benchmarks.tables.table import Cell, Column, Table

KNOWN = ("classify", "detect", "reid")


def other_tables(measured: Measurements) -> Iterator[Table]:
    """One table for each kind of task that has none of its own."""
    for kind in sorted({task.kind for task in measured.tasks} - set(KNOWN)):
        results = [result for result in measured.results if result.kind == kind]
        metrics = [
            MetricColumn(_column(name, metric, record), name, metric)
            for name in dict.fromkeys(task.name for task in measured.kind(kind))
            for metric, record in _metrics(results, name).items()
        ]
        options = list(dict.fromkeys(key for result in results for key in sorted(result.variant)))
        builder = RowBuilder(measured, kind, metrics, _describe)
        blocks = builder.blocks()
        yield Table(
            name=kind,
            caption=f"{kind}: {', '.join(dict.fromkeys(metric.task for metric in metrics))}",
            columns=(
                Column("name", "Backbone", numeric=False, identifies=True),
                *(Column(f"option_{key}", key, numeric=False, identifies=True) for key in options),
                *size_columns(row.cells for block in blocks for row in block.rows),
                *(metric.column for metric in metrics),
            ),
            blocks=blocks,
            notes=notes(builder, blocks),
        )


def _metrics(results: Sequence[Result], name: str) -> dict[str, Metric]:
    """The metrics of one data set in the order in which they are reported."""
    return {key: metric for result in results if result.task == name for key, metric in result.metrics.items()}


def _column(name: str, metric: str, record: Metric) -> Column:
    fraction = record.unit == "fraction"
    return Column(
        f"{name}_{metric}",
        metric,
        group=data_set_title(name),
        unit="%" if fraction else record.unit,
        scale=100 if fraction else 1,
        decimals=2,
        higher_is_better=record.higher_is_better,
    )


def _describe(results: Sequence[Result]) -> Mapping[str, Cell]:
    options = {f"option_{key}": Cell(text=str(value)) for key, value in results[0].variant.items()}
    return {**name_cells(results), **size_cells(results), **options}
