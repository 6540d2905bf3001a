"""The report's table of backbones compared in pairs, on the same images or queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from benchmarks.paired import Pair, pairs_of
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table

MOST_BACKBONES = 12  # a pair is a row: more would make the table too long to read


def paired_table(run_dir: Path, measured: Measurements) -> Table | None:
    """Mean difference of every pair of backbones that are not random cells, with its interval; None without data."""
    names = [name for name, backbone in measured.backbones.items() if backbone.kind != "random"][:MOST_BACKBONES]
    rows = [row for pair in combinations(names, 2) for row in _rows(run_dir, measured, *pair)]
    return pair_table(rows) if rows else None


def pair_table(rows: Sequence[Row]) -> Table:
    """The rows under their heads."""
    rows = sorted(rows, key=lambda row: row.cells["task"].text or "")
    return Table(
        name="paired",
        caption="Two backbones on the same images or queries: mean difference",
        columns=(
            Column("task", "Task", numeric=False, identifies=True),
            Column("metric", "Metric", numeric=False),
            Column("a", "A", numeric=False, identifies=True),
            Column("b", "B", numeric=False, identifies=True),
            Column("difference", "A - B", unit="points", scale=100, decimals=2, signed=True),
            Column("n", "n", decimals=0),
            Column("runs", "Runs", numeric=False),
        ),
        blocks=(Block("Pairs", tuple(rows)),),
        notes=(
            Note(
                "In brackets: 95 % interval over the n images, or over the persons of the n queries. It does not cover "
                "training seeds: an image's score is averaged over the runs (A, B) that there are, and those are taken "
                "as given. AP is recomputed on each drawn set of images."
            ),
        ),
    )


def pair_row(pair: Pair, a: str, b: str) -> Row:
    """One comparison as a row."""
    interval = pair.difference.interval
    texts = {"task": pair.task.title, "metric": pair.metric, "a": a, "b": b, "runs": f"{pair.runs[0]}, {pair.runs[1]}"}
    return Row(
        {
            **{key: Cell(text=text) for key, text in texts.items()},
            "difference": Cell(pair.difference.mean, interval=(interval.low, interval.high) if interval else None),
            "n": Cell(float(pair.difference.n)),
        }
    )


def _rows(run_dir: Path, measured: Measurements, a: str, b: str) -> Iterator[Row]:
    for task in measured.tasks:
        for pair in pairs_of(run_dir, measured, task, a, b, [measured.primary(task)]):
            yield pair_row(pair, a, b)
