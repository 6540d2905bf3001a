"""Two backbones on the same images or queries, where the results keep a score for each (``details["per_item"]``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from benchmarks.statistics import paired_difference
from benchmarks.store import Result
from benchmarks.tables.keys import Point, Task
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table

ITEMS = {"classify": "images", "detect": "images", "reid": "queries"}


def paired_table(measured: Measurements) -> Table | None:
    """Mean difference of every pair of backbones that are no random cells, with its interval; None without such data.

    ``details["per_item"]`` maps a metric to one number an image or query, in the order of the data.
    """
    rows = [row for task in measured.tasks for row in _rows(measured, task)]
    if not rows:
        return None
    return Table(
        name="paired",
        caption="Two backbones on the same images or queries: mean difference",
        columns=(
            Column("task", "Task", numeric=False, identifies=True),
            Column("a", "A", numeric=False, identifies=True),
            Column("b", "B", numeric=False, identifies=True),
            Column("difference", "A - B", unit="points", scale=100, decimals=2, signed=True),
            Column("n", "n", decimals=0),
        ),
        blocks=(Block("Pairs", tuple(rows)),),
        notes=(
            Note(
                "In brackets: 95 % bootstrap interval over the images or queries. It does not cover training seeds: "
                "one run of each backbone is compared with one run of the other."
            ),
        ),
    )


def _rows(measured: Measurements, task: Task) -> Iterator[Row]:
    metric = measured.primary(task)
    for setting in measured.settings(task):
        first: dict[str, tuple[str, Sequence[float]]] = {}
        for name, backbone in measured.backbones.items():
            result = next(iter(measured.of(task, setting, name)), None)
            scores = _scores(result, metric) if result is not None and backbone.kind != "random" else None
            if result is not None and scores:
                first[name] = measured.label(Point.of(result)), scores
        for (a, ours), (b, theirs) in combinations(first.values(), 2):
            difference = paired_difference(ours, theirs, ITEMS.get(task.kind, "items"))
            if difference is not None:
                ends = (difference.interval.low, difference.interval.high)
                cell = Cell(difference.mean, interval=ends)
                names = {"task": task.title, "a": a, "b": b}
                texts = {key: Cell(text=text) for key, text in names.items()}
                yield Row({**texts, "difference": cell, "n": Cell(float(difference.n))})


def _scores(result: Result, metric: str) -> Sequence[float] | None:
    return (result.details.get("per_item") or {}).get(metric)
