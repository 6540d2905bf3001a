"""The power note: how many runs would tell a difference of a given size, from the scatter that was measured."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.statistics import Summary, deviation_limit, runs_to_detect, summarize
from benchmarks.tables.keys import Setting, Task
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table

FEW = 10  # degrees of freedom below which a deviation is too uncertain to plan with
DIFFERENCES = (0.005, 0.01, 0.02, 0.05)  # absolute, as fractions: half a point to five points


def power_table(measured: Measurements) -> Table | None:
    """For every task the deviation between runs, and how many runs would find each difference; None if unknown."""
    rows = [row for task in measured.tasks for row in _rows(measured, task)]
    if not rows:
        return None
    columns = [
        Column(f"d{d}", f"{100 * d:g} points", group="runs on each side to tell a difference of", decimals=0)
        for d in DIFFERENCES
    ]
    return Table(
        name="power",
        caption="How many runs would tell a difference?",
        columns=(
            Column("task", "Task", numeric=False, identifies=True),
            Column("metric", "Metric", numeric=False),
            Column("over", "Scatter of", numeric=False),
            Column("deviation", "Deviation", unit="points", scale=100, decimals=2),
            Column("limit", "Upper limit", unit="points", scale=100, decimals=2),
            *columns,
        ),
        blocks=(Block("Tasks", tuple(rows)),),
        notes=(
            Note(
                "Two-sided t test at 5 % with power 80 %, both sides varying alike: by the measured deviation, or by "
                f"its upper 95 % limit where it has fewer than {FEW} degrees of freedom. To compare methods take the "
                "row of the searches, to compare networks the row of the training seeds."
            ),
        ),
    )


def _rows(measured: Measurements, task: Task) -> Iterator[Row]:
    metric = measured.primary(task)
    record = measured.metric(task, measured.settings(task)[0], metric)
    if record is None or record.unit != "fraction":
        return  # the differences below are points of percent
    for setting in measured.settings(task):
        for over, deviation, freedom in _deviations(measured, task, setting, metric):
            limit = deviation_limit(deviation, freedom)
            cells = {
                "task": Cell(text=task.title),
                "metric": Cell(text=metric),
                "over": Cell(text=over),
                "deviation": Cell(deviation),
                "limit": Cell(limit),
            }
            for difference in DIFFERENCES:
                runs = runs_to_detect(difference, limit if freedom < FEW else deviation)
                cells[f"d{difference}"] = Cell(float(runs)) if runs is not None else Cell(text="> 10000")
            yield Row(cells)


def _deviations(measured: Measurements, task: Task, setting: Setting, metric: str) -> Iterator[tuple[str, float, int]]:
    """What varied, its deviation and degrees of freedom; searches and trainings of one cell are never mixed."""
    of: dict[str, list[Summary]] = {}
    for name in measured.backbones:
        summary = measured.summary(task, setting, name, metric)
        if summary is not None and summary.deviation is not None and measured.backbones[name].kind != "random":
            of.setdefault(summary.over, []).append(summary)
    for over, summaries in sorted(of.items()):
        freedom = sum(summary.n - 1 for summary in summaries)
        pooled = sum((summary.n - 1) * (summary.deviation or 0.0) ** 2 for summary in summaries) / freedom
        each = "of one method" if over == "searches" else "of one network"
        yield f"{over} {each}", pooled**0.5, freedom
    random = measured.random_values(task, setting, metric)
    if len(random) > 1:
        yield "random cells", summarize(random).deviation or 0.0, len(random) - 1
