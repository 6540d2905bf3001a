"""The ablations of section 5.2: what a suite measured beside what the paper prints, row by row.

The three suites ``paper-depth``, ``paper-approximation`` and ``paper-regularization`` name their backbones after the
rows here, at every scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.published import ablations
from benchmarks.statistics import Summary, summarize
from benchmarks.store import Result
from benchmarks.tables.keys import Task, data_set_title
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table
from nas.genotype import CellSpec, Genotype

Which = Literal["all", "first", "best"]  # of several searches: their mean, the first alone, the one that tests best


@dataclass(frozen=True)
class Line:
    """One row: a backbone of the suite, and where the paper's error is in the facts, if it prints one."""

    backbone: str
    fact: tuple[str | int, ...] = ()
    which: Which = "all"
    deviation: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ablation:
    """One ablation of the paper: the suite that repeats it, and its rows in blocks."""

    suite: str
    caption: str
    blocks: dict[str, tuple[Line, ...]]


def _by_m(state: str, fact: str) -> tuple[Line, ...]:
    return tuple(Line(f"{state}, M = {m}", ("dropout_on_off", fact, f"M{m}"), "first") for m in (2, 3, 4))


ABLATIONS = (
    Ablation(
        "paper-depth",
        "Section 5.2.1: the cells of every stage, and how deep they are",
        {
            "Stages of one search": (
                Line("stage 1", ("per_stage", "c10_err", "stage1_5_cells")),
                Line("stage 2", ("per_stage", "c10_err", "stage2_11_cells")),
                Line("stage 3", ("per_stage", "c10_err", "stage3_17_cells")),
                Line("DARTS (second order)", ("per_stage", "c10_err", "darts_v2_8_cells")),
            )
        },
    ),
    Ablation(
        "paper-approximation",
        "Section 5.2.2: search space approximation",
        {
            "Last stage": (
                Line("approximated space", ("search_space_approximation", "final_stage_only_approximated_space")),
                Line("random space", ("search_space_approximation", "final_stage_only_random_space_best_of_3"), "best"),
                Line("random space"),
            ),
            "Operations that shrink at one depth": (
                Line("fixed depth", ("search_space_approximation", "fixed_depth_8_cells_ops_8_5_3")),
                Line("DARTS (first order)", ("search_space_approximation", "darts_first_order")),
            ),
        },
    ),
    Ablation(
        "paper-regularization",
        "Section 5.2.3: search space regularisation",
        {
            "Without dropout on skip-connects": (
                Line("no dropout, unrefined"),
                *_by_m("no dropout", "without_dropout"),
            ),
            "With dropout": (
                Line("dropout, unrefined", (), "first"),
                *(Line(f"dropout, M = {m}", ("skip_connects_M", "c10_err", m), "first") for m in range(5)),
            ),
            "Architecture refinement over three searches": (
                Line("dropout, unrefined", ("refinement", "before", "mean"), "all", ("refinement", "before", "sd")),
                Line("dropout, M = 2", ("refinement", "after", "mean"), "all", ("refinement", "after", "sd")),
            ),
            "DARTS with the same regularisation": (
                Line("DARTS (first order)", ("regularised_darts_first_order", "original")),
                Line(
                    "DARTS (first order), regularised",
                    ("regularised_darts_first_order", "with_search_space_regularisation"),
                ),
            ),
        },
    ),
)


def ablation_tables(measured: Measurements) -> Iterator[Table]:
    """The table of every ablation whose suite, at whatever scale, is among the results."""
    suites = {result.suite for result in measured.results}
    for ablation in ABLATIONS:
        if any(suite == ablation.suite or suite.startswith(f"{ablation.suite}-") for suite in suites):
            yield _table(measured, ablation)


def _table(measured: Measurements, ablation: Ablation) -> Table:
    tasks = [task for task in measured.kind("classify") if not task.variant]
    blocks = (
        Block(title, tuple(_row(measured, tasks, line) for line in lines)) for title, lines in ablation.blocks.items()
    )
    return Table(
        name=ablation.suite.removeprefix("paper-"),
        caption=ablation.caption,
        columns=(
            Column("name", "Setting", numeric=False, identifies=True),
            Column("published", "CIFAR-10 err.", group="published", unit="%", scale=100, decimals=2),
            *(_column(task) for task in tasks),
            Column("skips", "Skips", decimals=1),
            Column("levels", "Levels", decimals=1),
            Column("shallow", "Edges from the inputs", decimals=1),
            Column("params", "Params", unit="M", scale=1e-6, decimals=3),
        ),
        blocks=tuple(blocks),
        notes=(*_notes(measured, ablation), *_settings(measured, tasks)),
    )


def _column(task: Task) -> Column:
    title = f"{data_set_title(task.name)} err."
    return Column(f"error_{task.name}", title, "measured", "%", 100, 2, higher_is_better=False)


def _row(measured: Measurements, tasks: Sequence[Task], line: Line) -> Row:
    cells = {"name": Cell(text=line.backbone), "published": _published(line)}
    found: list[Result] = []
    for task in tasks:
        for setting in measured.settings(task, line.backbone)[:1]:
            results = list(measured.of(task, setting, line.backbone))
            summary, chosen = _choose(results, line.which)
            found += chosen
            value = 1 - summary.mean
            cells[f"error_{task.name}"] = Cell(value, deviation=summary.deviation, n=summary.n)
            if line.which == "best":
                cells["name"] = Cell(text=f"{line.backbone}, best of {len(results)} on the test images, as published")
    return Row({**cells, **_shape(found)}, "best" if line.which == "best" else "measured")


def _choose(results: Sequence[Result], which: Which) -> tuple[Summary, list[Result]]:
    """Accuracy over the searches that a row is about (each averaged over its training seeds), and their results."""
    by_search: dict[int | None, list[Result]] = {}
    for result in results:
        by_search.setdefault(result.backbone.search_seed, []).append(result)
    means = {seed: summarize([r.metrics["top1"].value for r in group]).mean for seed, group in by_search.items()}
    if which == "first":
        seeds = [min(means, key=lambda seed: seed or 0)]
    elif which == "best":
        seeds = [max(means, key=lambda seed: means[seed])]
    else:
        seeds = list(means)
    return summarize([means[seed] for seed in seeds], "searches"), [r for s in seeds for r in by_search[s]]


def _published(line: Line) -> Cell:
    if not line.fact:
        return Cell()
    value = _fact(line.fact)
    deviation = _fact(line.deviation) / 100 if line.deviation else None
    return Cell(value / 100, deviation=deviation, n=3 if line.deviation else 1)


def _fact(path: Sequence[str | int]) -> float:
    node: Any = ablations()
    for part in path:
        node = node[part]
    return float(node)


def _shape(results: Sequence[Result]) -> dict[str, Cell]:
    """Skip-connects, levels and edges of the normal cells, averaged over the cells of a row."""
    normal = [Genotype.from_dict(r.backbone.genotype).normal for r in results if r.backbone.genotype is not None]
    params = [float(r.backbone.parameters) for r in results if r.backbone.parameters is not None]
    columns: dict[str, list[float]] = {
        "skips": [float(cell.skips) for cell in normal],
        "levels": [float(cell.longest_path) for cell in normal],
        "shallow": [float(_from_inputs(cell)) for cell in normal],
        "params": params,
    }
    return {name: Cell(summarize(values).mean) for name, values in columns.items() if values}


def _from_inputs(cell: CellSpec) -> int:
    return sum(edge.input < 2 for node in cell.nodes for edge in node)


def _notes(measured: Measurements, ablation: Ablation) -> Iterator[Note]:
    facts = {line.fact[0] for lines in ablation.blocks.values() for line in lines if line.fact}
    for source in dict.fromkeys(str(ablations()[fact]["source"]) for fact in sorted(map(str, facts))):
        yield Note(f"Published: {source}.")
    yield Note(
        "Skips, levels (longest way from an input) and edges from the inputs: of the 8 edges of the normal cell."
    )
    if any(line.which == "best" for lines in ablation.blocks.values() for line in lines):
        yield Note("Best of several: chosen by the test images, as the paper does, and therefore flattered.")
    if ablation.suite == "paper-depth":
        yield from _survivors(measured)


def _survivors(measured: Measurements) -> Iterator[Note]:
    """Footnote 1 of the paper: how many edges of the normal cell keep their leading operation from stage to stage."""
    stages = [search.details.get("stages") or () for search in measured.searches]
    pairs = [[s["survivors"]["normal"] for s in found if s.get("survivors")] for found in stages]
    complete = [pair for pair in pairs if pair]
    if complete:
        means = [sum(column) / len(column) for column in zip(*complete, strict=False)]
        paper = ablations()["retained_top_operations"]
        yield Note(
            f"Edges of the normal cell (of 14) whose leading operation leads in the next stage too: "
            f"{', '.join(f'{mean:.1f}' for mean in means)}; the paper has {paper['stage1_to_stage2']} and "
            f"{paper['stage2_to_stage3']} (footnote 1)."
        )


def _settings(measured: Measurements, tasks: Sequence[Task]) -> Iterator[Note]:
    for task in tasks:
        for setting in measured.settings(task):
            yield Note(f"Measured: {setting}. It is not the paper's protocol unless it says so.")
