"""How a cell is printed, once for every format: the pieces as text, which the formats join in their own markup."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.tables.table import Cell, Column, Table

DASH = "–"


@dataclass(frozen=True)
class Printed:
    """The pieces of a cell; what it does not have is an empty string."""

    value: str
    spread: str = ""  # "1.2": the sample deviation, without its sign
    gain: str = ""  # "+4.1%"
    interval: str = ""  # "1.0, 7.2"
    n: str = ""  # "n=3", only in a table where n differs from cell to cell
    marks: tuple[str, ...] = ()


def printed(cell: Cell, column: Column, show_n: bool = False) -> Printed:
    """The pieces of ``cell`` in the unit and with the decimals of ``column``."""
    if cell.value is None:
        return Printed(cell.text if cell.text is not None else DASH, marks=cell.marks)
    return Printed(
        value=cell.text if cell.text is not None else number(cell.value, column),
        spread=number(cell.deviation, column, signed=False) if cell.deviation is not None else "",
        gain=percent(cell.gain) if cell.gain is not None else "",
        interval=", ".join(number(end, column) for end in cell.interval) if cell.interval else "",
        n=f"n={cell.n}" if show_n and cell.deviation is not None else "",
        marks=cell.marks,
    )


def number(value: float, column: Column, signed: bool | None = None) -> str:
    """A value in a column's unit; ``signed`` overrides whether a plus is printed."""
    text = f"{value * column.scale:.{column.decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    plus = column.signed if signed is None else signed
    return f"+{text}" if plus and not text.startswith("-") else text


def percent(fraction: float) -> str:
    """A relative improvement: ``0.0412`` is ``+4.1%``."""
    text = f"{100 * fraction:+.1f}"
    return f"{'+0.0' if float(text) == 0 else text}%"


def varying_n(table: Table) -> bool:
    """Whether cells with a deviation rest on different numbers of runs, so that each must state its own."""
    counts = {c.n for row in table.rows() for c in row.cells.values() if c.deviation is not None}
    return len(counts) > 1


def is_best(cell: Cell, column: Column, table: Table, role: str) -> bool:
    """Whether a measured cell is bold: the best of its column, or not distinguishable from it (:meth:`Table.bold`)."""
    return role == "measured" and table.bold(cell, column)
