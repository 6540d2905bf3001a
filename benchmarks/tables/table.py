"""A table as a plain value: what it says, without how it is printed (see :mod:`benchmarks.render`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """One cell: a measured ``value`` in base units, or ``text`` that is printed unchanged.

    ``deviation`` is the sample deviation over ``n`` runs (None for a single one). ``gain`` is the relative improvement
    over the mean random cell, ``interval`` the bootstrap interval of ``value``, both in the unit of the value they
    belong to. ``marks`` refer to the table's notes.
    """

    value: float | None = None
    text: str | None = None
    deviation: float | None = None
    n: int = 1
    gain: float | None = None
    interval: tuple[float, float] | None = None
    marks: tuple[str, ...] = ()


EMPTY = Cell()


@dataclass(frozen=True)
class Column:
    """One column. A printed number is ``value * scale`` with ``decimals``; ``group`` is a head over several columns."""

    key: str
    title: str
    group: str = ""
    unit: str = ""
    scale: float = 1.0
    decimals: int = 1
    numeric: bool = True
    higher_is_better: bool | None = None  # None: not a quality, so nothing is "best"
    signed: bool = False
    identifies: bool = False  # part of what names a row; repeated where a table has to be split
    marks: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """Title with the unit: ``Params (M)``."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Row:
    """Cells by column key; a missing key is a dash. ``role`` is "measured", "mean", "best", "chance" or "published"."""

    cells: Mapping[str, Cell]
    role: str = "measured"

    def cell(self, column: Column) -> Cell:
        """The cell under ``column``."""
        return self.cells.get(column.key, EMPTY)


@dataclass(frozen=True)
class Block:
    """Rows that belong together under one title; ``source`` is set for published numbers, not measured here."""

    title: str
    rows: tuple[Row, ...]
    source: str = ""


@dataclass(frozen=True)
class Note:
    """A line under the table; with a ``mark`` it is the footnote of the cells that carry the mark."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A finished table. ``name`` is a word for file names and anchors."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[Note, ...] = field(default=())

    def rows(self) -> Iterator[Row]:
        """All rows, block after block."""
        for block in self.blocks:
            yield from block.rows

    def best(self, column: Column) -> Cell | None:
        """The best measured cell of a column; None if the column is not a quality or has fewer than two values."""
        if column.higher_is_better is None:
            return None
        cells = [c for row in self.rows() if row.role == "measured" and (c := row.cell(column)).value is not None]
        if len(cells) < 2:
            return None
        sign = 1 if column.higher_is_better else -1
        return max(cells, key=lambda cell: sign * (cell.value or 0.0))

    def bold(self, cell: Cell, column: Column) -> bool:
        """Whether ``cell`` is not distinguishable from the best of its column: Welch's t test at 5 %.

        A single run has no deviation to test with: it is never bold, and neither is anything else where it is best.
        """
        best = self.best(column)
        if best is None or best.value is None or cell.value is None or best.n < 2 or cell.n < 2:
            return False
        return cell.value == best.value or not differ(cell, best)


def differ(a: Cell, b: Cell) -> bool:
    """Whether two cells with deviations differ by Welch's t test at 5 %."""
    from benchmarks.statistics.relative import welch_p

    return welch_p(a.value or 0.0, a.deviation or 0.0, a.n, b.value or 0.0, b.deviation or 0.0, b.n) <= 0.05
