"""Rows of a measured table: backbones in blocks, the mean random cell and the chance level below them.

The three tasks share one form: a row is a backbone (with a variant, such as the number of parts), a column one metric
of one data set. What differs, the descriptive columns, comes in as ``describe``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.statistics import Summary, summarize
from benchmarks.store import FORM, Result
from benchmarks.tables.keys import Setting, Task, natural
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.remarks import remarks, with_marks
from benchmarks.tables.table import Block, Cell, Column, Row

Variant = tuple[tuple[str, int | str], ...]
Describe = Callable[[Sequence[Result]], Mapping[str, Cell]]

BLOCKS = {
    "timm": "Networks by name (timm)",
    "torchreid": "Networks by name (torchreid)",
    "published": "Published cells, trained here",
    "file": "Cells and weights from files",
    "searched": "Cells found by search",
    "random": "Random cells of the same space",
}


@dataclass(frozen=True)
class MetricColumn:
    """A column that prints ``metric`` of the data set ``task``; with ``error`` it prints one minus the metric."""

    column: Column
    task: str
    metric: str
    error: bool = False


@dataclass(frozen=True)
class RowBuilder:
    """Everything that the rows of one table are made from."""

    measured: Measurements
    kind: str
    columns: Sequence[MetricColumn]
    describe: Describe

    def blocks(self) -> tuple[Block, ...]:
        """The blocks that have rows, in the order of :data:`BLOCKS`, then the chance level."""
        found = [Block(title, tuple(self._rows(kind))) for kind, title in BLOCKS.items()]
        found.append(Block("Reference", tuple(self._chance_rows())))
        return tuple(block for block in found if block.rows)

    @cached_property
    def variants(self) -> list[Variant]:
        """The variants of this kind of task, in natural order."""
        return sorted({task.variant for task in self.measured.kind(self.kind)}, key=natural)

    @cached_property
    def marks(self) -> dict[tuple[Task, Setting], str]:
        """A letter for each setting of the columns that mix several: a, b, ... in order."""
        mixed = [t for t in self.measured.kind(self.kind) if len(self.measured.settings(t)) > 1]
        settings = sorted({s for task in mixed for s in self.measured.settings(task)})
        letters = {setting: _letters(i) for i, setting in enumerate(settings)}
        return {(task, setting): letters[setting] for task in mixed for setting in self.measured.settings(task)}

    @cached_property
    def remarks(self) -> dict[str, str]:
        """The zoo's remarks on cells of this table, each with its mark: p1, p2, ... as for the paper's rows."""
        backbones = {r.backbone.name: r.backbone for r in self.measured.results if r.kind == self.kind}
        texts = dict.fromkeys(text for b in backbones.values() for text in remarks(b).values())
        return {text: f"p{number}" for number, text in enumerate(texts, 1)}

    def _rows(self, kind: str) -> Iterator[Row]:
        names = sorted((n for n, b in self.measured.backbones.items() if b.kind == kind), key=natural)
        for variant in self.variants:
            if kind == "random":
                yield from self._layers(variant, names, self._random_cell, "mean")
                continue
            for name in names:
                yield from self._layers(variant, [name], self._backbone_cell)
                yield from self._best_rows(variant, name)

    def _layers(
        self,
        variant: Variant,
        names: Sequence[str],
        make: Callable[[MetricColumn, Task, Setting, str], Cell],
        role: str = "measured",
        label: str = "",
    ) -> Iterator[Row]:
        """The row of these backbones; several only where they were measured in several settings (mixed protocols)."""
        settings = {c.task: self._settings(self._task(c, variant), names) for c in self.columns}
        for layer in range(max(map(len, settings.values()), default=0)):
            cells: dict[str, Cell] = {}
            results: list[Result] = []
            for column in self.columns:
                if layer < len(settings[column.task]):
                    task, setting = self._task(column, variant), settings[column.task][layer]
                    results += [r for name in names for r in self.measured.of(task, setting, name)]
                    cells[column.column.key] = make(column, task, setting, names[0])
            label = label or (f"random cells, mean of {_networks(results)}" if role == "mean" else names[0])
            form = dict(variant).get(FORM)
            name = f"{label}, {form}" if form and self.kind == "classify" else label
            row = {**self.describe(results), "name": Cell(text=name), **cells}
            yield Row(with_marks(row, results[0].backbone, self.remarks), role)

    def _backbone_cell(self, column: MetricColumn, task: Task, setting: Setting, name: str) -> Cell:
        summary = self.measured.summary(task, setting, name, column.metric)
        gain = None if column.error else self.measured.gain(name, [(task, setting, column.metric)])
        return self._cell(column, task, setting, summary, gain.value if gain else None)

    def _random_cell(self, column: MetricColumn, task: Task, setting: Setting, _: str) -> Cell:
        values = self.measured.random_values(task, setting, column.metric)
        return self._cell(column, task, setting, summarize(values, "random cells") if values else None)

    def _cell(
        self, column: MetricColumn, task: Task, setting: Setting, summary: Summary | None, gain: float | None = None
    ) -> Cell:
        if summary is None:
            return Cell()
        value = 1 - summary.mean if column.error else summary.mean
        letter = self.marks.get((task, setting))
        return Cell(value, None, summary.deviation, summary.n, gain, marks=(letter,) if letter else ())

    def _best_rows(self, variant: Variant, name: str) -> Iterator[Row]:
        """Of several searches the one that did best on the proxy's held-out half; its cost is that of all."""
        choice = self.measured.best_search(name)
        if choice is None:
            return

        def make(column: MetricColumn, task: Task, setting: Setting, name: str) -> Cell:
            summary = self.measured.summary(task, setting, name, column.metric, choice.search_seed)
            return self._cell(column, task, setting, summary)

        for row in self._layers(
            variant, [name], make, "best", f"{name}, best of {choice.searches} by held-out accuracy of the search"
        ):
            cost = row.cells.get("cost", Cell())
            total = {"cost": Cell(cost.value * choice.searches)} if cost.value is not None else {}
            yield Row({**row.cells, **total}, row.role)

    def _chance_rows(self) -> Iterator[Row]:
        layers = max((len(self.measured.settings(t)) for t in self.measured.kind(self.kind)), default=0)
        for layer in range(layers):
            cells = {c.column.key: cell for c in self.columns if (cell := self._chance_cell(c, layer)) is not None}
            if cells:
                yield Row({"name": Cell(text="chance level"), **cells}, "chance")

    def _chance_cell(self, column: MetricColumn, layer: int) -> Cell | None:
        """Guessing does not depend on the variant, so the first one that states a chance level speaks for all."""
        for task in (self._task(column, variant) for variant in self.variants):
            for setting in self.measured.settings(task)[layer : layer + 1]:
                chance = self.measured.chance(task, setting, column.metric)
                if chance is not None:
                    return self._cell(column, task, setting, summarize([chance]))
        return None

    def _settings(self, task: Task, names: Sequence[str]) -> list[Setting]:
        return sorted({setting for name in names for setting in self.measured.settings(task, name)})

    def _task(self, column: MetricColumn, variant: Variant) -> Task:
        return Task(self.kind, column.task, variant)


def _networks(results: Sequence[Result]) -> int:
    return len({(result.backbone.name, result.backbone.search_seed) for result in results})


def _letters(index: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    head, tail = divmod(index, 26)
    return (_letters(head - 1) if head else "") + chr(ord("a") + tail)
