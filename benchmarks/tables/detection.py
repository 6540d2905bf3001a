"""Detection in Table 4's column order: network, input, backbone, multiply-adds, AP and its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.store import Result
from benchmarks.tables.describe import input_text, name_cells, size_cells, size_columns
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.notes import notes
from benchmarks.tables.rows import MetricColumn, RowBuilder
from benchmarks.tables.table import Cell, Column, Note, Table

METRICS = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "APS": "APS", "APM": "APM", "APL": "APL"}


def detection_table(measured: Measurements) -> Table | None:
    """The table of every detection task, None if there is none."""
    tasks = measured.kind("detect")
    if not tasks:
        return None
    names = list(dict.fromkeys(task.name for task in tasks))
    metrics = [
        MetricColumn(_column(name, metric, name if len(names) > 1 else ""), name, metric)
        for name in names
        for metric in METRICS
    ]
    builder = RowBuilder(measured, "detect", metrics, _describe)
    blocks = builder.blocks()
    params, madds = size_columns((row.cells for block in blocks for row in block.rows), "Multiply-adds")
    return Table(
        name="detection",
        caption=f"Object detection with SSD: {', '.join(names)}",
        columns=(
            Column("network", "Network", numeric=False, identifies=True),
            Column("input", "Input", decimals=0),
            Column("name", "Backbone", numeric=False, identifies=True),
            madds,
            params,
            *(metric.column for metric in metrics),
        ),
        blocks=blocks,
        notes=(*notes(builder, blocks), Note("Multiply-adds and parameters are those of the backbone alone.")),
    )


def _column(name: str, metric: str, group: str) -> Column:
    return Column(
        f"{name}_{metric}", METRICS[metric], group=group, unit="%", scale=100, decimals=1, higher_is_better=True
    )


def _describe(results: Sequence[Result]) -> Mapping[str, Cell]:
    size = input_text(results)
    detector = str(results[0].details.get("detector", "SSD"))
    return {
        **name_cells(results),
        **size_cells(results),
        "network": Cell(text=f"{detector}{size}" if size else detector),
        "input": Cell(text=size),
    }
