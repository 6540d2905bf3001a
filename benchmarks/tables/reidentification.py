"""Person re-identification in Table 5's form: a row is a backbone with a number of parts, Rank-1 and mAP a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.store import Result
from benchmarks.tables.describe import input_text, name_cells, size_cells, size_columns
from benchmarks.tables.keys import data_set_title
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.notes import notes
from benchmarks.tables.rows import MetricColumn, RowBuilder
from benchmarks.tables.table import Cell, Column, Note, Table

DATA_SETS = ("market1501", "dukemtmcreid", "msmt17")  # in Table 5's order
METRICS = {"rank1": "Rank-1", "mAP": "mAP"}
DUKE_WITHDRAWN = (
    "DukeMTMC-reID was withdrawn by its authors in 2019 and is never downloaded here; its columns are empty where no "
    "local copy was given."
)


def reid_table(measured: Measurements) -> Table | None:
    """The table of every re-identification task, None if there is none."""
    tasks = measured.kind("reid")
    if not tasks:
        return None
    names = _in_paper_order({task.name for task in tasks})
    metrics = [MetricColumn(_column(name, metric), name, metric) for name in names for metric in METRICS]
    builder = RowBuilder(measured, "reid", metrics, _describe)
    blocks = builder.blocks()
    params, madds = size_columns(
        (row.cells for block in blocks for row in block.rows), f"Multiply-adds at {_inputs(measured)}"
    )
    withdrawn = [Note(DUKE_WITHDRAWN)] if not any(task.name == "dukemtmcreid" for task in tasks) else []
    return Table(
        name="reid",
        caption="Person re-identification with part-based features (PCB)",
        columns=(
            Column("name", "Backbone", numeric=False, identifies=True),
            Column("parts", "Parts", decimals=0, identifies=True),
            Column("part_dim", "Dim. a part", decimals=0),
            Column("feat_dim", "Dim. in all", decimals=0),
            replace(madds, key="paper_madds", title="Multiply-adds at 224x224"),
            madds,
            params,
            *(metric.column for metric in metrics),
        ),
        blocks=blocks,
        notes=(
            *notes(builder, blocks),
            Note(
                "Multiply-adds and parameters are those of the backbone alone: at the task's input size with PCB's "
                "last stride, and at 224x224 with the backbone's own strides, which is how Table 5 counts."
            ),
            *withdrawn,
        ),
    )


def _in_paper_order(found: set[str]) -> list[str]:
    """Table 5's data sets in its order (Duke's columns stay, even empty, beside another of them), then all others."""
    known = [name for name in DATA_SETS if name in found]
    if known and "dukemtmcreid" not in known and len(known) > 1:
        known = list(DATA_SETS)
    return known + sorted(found - set(DATA_SETS))


def _column(name: str, metric: str) -> Column:
    return Column(
        f"{name}_{metric}",
        METRICS[metric],
        group=data_set_title(name),
        unit="%",
        scale=100,
        decimals=2,
        higher_is_better=True,
    )


def _inputs(measured: Measurements) -> str:
    """The input sizes of the task: ``384x128``."""
    return input_text(result for result in measured.results if result.kind == "reid") or "the input"


def _describe(results: Sequence[Result]) -> Mapping[str, Cell]:
    dimension, part = (results[0].details.get(key) for key in ("feature_dim", "part_dim"))
    macs = results[0].details.get("paper_macs")
    parts = results[0].variant.get("parts")
    return {
        **name_cells(results),
        **size_cells(results),
        "parts": Cell(text=None if parts is None else str(parts)),
        "part_dim": Cell(None if part is None else float(part)),
        "feat_dim": Cell(None if dimension is None else float(dimension)),
        "paper_madds": Cell(None if macs is None else float(macs)),
    }
