"""The lines under a measured table: settings, seeds and n, what the brackets and the chance level mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.store import Result
from benchmarks.tables.keys import Task
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.rows import RowBuilder
from benchmarks.tables.table import Block, Note


def notes(builder: RowBuilder, blocks: Sequence[Block]) -> tuple[Note, ...]:
    """Everything that a reader needs below the table of ``builder``, whose blocks are given."""
    tasks = builder.measured.kind(builder.kind)
    results = [r for r in builder.measured.results if r.kind == builder.kind]
    return (
        *_protocols(builder, tasks),
        *_data(results),
        Note(_runs(results, _counts(builder, blocks))),
        Note(_gain(results)),
        *_chance(blocks),
        *(Note(f"Remark of ours: {text}.", mark) for text, mark in builder.remarks.items()),
    )


def cost_note(measured: Measurements, results: Sequence[Result]) -> Iterator[Note]:
    """What the search cost counts, and on which device."""
    names = {result.backbone.name for result in results}
    searches = [s for s in measured.searches if s.backbone.name in names and s.backbone.kind == "searched"]
    devices = sorted({search.cost.device for search in searches})
    if devices:
        yield Note(f"Search cost: wall-clock time of one search, all attempts added up, on {'; '.join(devices)}.")


def _protocols(builder: RowBuilder, tasks: Sequence[Task]) -> Iterator[Note]:
    """One line a protocol with its data sets; a lettered line for each setting where a column mixes several."""
    for setting, letter in sorted({(s, m) for (_, s), m in builder.marks.items()}):
        yield Note(f"Mixed protocols, not comparable with each other: {setting}.", letter)
    marked = {setting for _, setting in builder.marks}
    data_of: dict[str, list[str]] = {}
    for task in tasks:
        for setting in builder.measured.settings(task):
            if setting not in marked and setting.data_text not in data_of.setdefault(setting.protocol_text, []):
                data_of[setting.protocol_text].append(setting.data_text)
    for protocol, data in data_of.items():
        yield Note(f"Protocol: {protocol}. Data: {'; '.join(data)}.")


def _data(results: Sequence[Result]) -> Iterator[Note]:
    """What the tasks say about their data, such as its size beside that of the published set."""
    said = {(r.task, r.details.get("data_title", r.task), *r.details.get("data_notes", ())): None for r in results}
    for _, title, *remarks in sorted(said):
        if remarks:
            yield Note(f"{title}: {'; '.join(remarks)}.")


def _runs(results: Sequence[Result], counts: set[int]) -> str:
    seeds = _seeds({result.seed for result in results})
    searches = {r.backbone.search_seed for r in results if r.backbone.kind == "searched"} - {None}
    text = f"Seeds: training {seeds}" + (f"; search {_seeds(searches)}" if searches else "") + ". "
    if any(result.details.get("common_seeds", "recipe" in result.details) for result in results):
        text += "Backbones share initialisation and order under one seed, so their deviations come out too small. "
    if counts <= {1}:
        return text + "n = 1 in every cell: a single run has no ±, no interval and no bold."
    most, least = max(counts), min(counts)
    many = f"n = {most}" if most == least else f"n = {least} to {most}"
    return text + (
        f"{many} runs per cell; ± is the sample deviation over the searches (each averaged over its training seeds), "
        "or over the training seeds of one cell. Bold: not distinguishable from the best of the column (Welch's t test "
        "at 5 %). A single run has neither ± nor bold."
    )


def _counts(builder: RowBuilder, blocks: Sequence[Block]) -> set[int]:
    """How many runs the measured cells rest on."""
    rows = [row for block in blocks for row in block.rows if row.role == "measured"]
    cells = [row.cell(metric.column) for row in rows for metric in builder.columns]
    return {cell.n for cell in cells if cell.value is not None}


def _gain(results: Iterable[Result]) -> str:
    cells = {(r.backbone.name, r.backbone.search_seed) for r in results if r.backbone.kind == "random"}
    if not cells:
        return "No random cell was measured, so there is no relative improvement."
    return (
        f"+x% or -x% beside a metric: relative improvement over the mean of the n = {len(cells)} random cells of the "
        "same search space under the same protocol; networks that are not cells of this space have none."
    )


def _chance(blocks: Sequence[Block]) -> Iterator[Note]:
    if any(row.role == "chance" for block in blocks for row in block.rows):
        yield Note("Chance level: what guessing scores on the same data.")


def _seeds(seeds: Iterable[int | None]) -> str:
    known = sorted(seed for seed in seeds if seed is not None)
    return ", ".join(map(str, known)) or "none"
