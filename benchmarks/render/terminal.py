"""Tables on a terminal, with rich; made to fit 100 to 120 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.render.numbers import Printed, is_best, printed, varying_n
from benchmarks.tables.table import Cell, Column, Table

STYLES = {"mean": "italic", "best": "italic", "chance": "dim", "published": "cyan"}
HEAD_WIDTH = 9  # heads of numbers are broken into lines of this width: the numbers are no wider

TEXT_WIDTH = 20  # longer names are folded where the table is too wide


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print each table with its notes. Deviations and improvements are in lines below their number."""
    for table in tables:
        console.print()
        console.print(Text(table.caption, style="bold"))
        for piece in _pieces(table, console):
            console.print(_grid(piece, None if _fits(piece, console, None) else TEXT_WIDTH))
        for block in table.blocks:
            if block.source:
                console.print(Padding(Text(f"In cyan, not measured here: {block.source}", style="cyan"), (0, 0, 0, 2)))
        for note in table.notes:
            mark = f"[{note.mark}] " if note.mark else ""
            console.print(Padding(Text(mark + note.text, style="dim"), (0, 0, 0, 2)))


def _pieces(table: Table, console: Console) -> Iterator[Table]:
    """The table, or, where it is too wide, several with the text columns repeated and the numbers shared out."""
    lead = [column for column in table.columns if column.identifies]
    rest: list[Column] = []
    if _fits(table, console):
        yield table
        return
    for column in (column for column in table.columns if not column.identifies):
        if rest and not _fits(replace(table, columns=(*lead, *rest, column)), console):
            yield replace(table, columns=(*lead, *rest))
            rest = []
        rest.append(column)
    yield replace(table, columns=(*lead, *rest))


def _fits(table: Table, console: Console, text_width: int | None = TEXT_WIDTH) -> bool:
    unlimited = console.options.update(width=10_000)
    return Measurement.get(console, unlimited, _grid(table, text_width)).maximum <= console.width


def _grid(table: Table, text_width: int | None) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, collapse_padding=True)
    for column in table.columns:
        if column.numeric:
            grid.add_column(_head(column), justify="right", no_wrap=True)
        else:
            grid.add_column(_head(column), overflow="fold", max_width=text_width)
    show_n = varying_n(table)
    for index, block in enumerate(table.blocks):
        if index:
            grid.add_section()
        for row in block.rows:
            cells = [_cell(row.cell(c), c, table, row.role, show_n) for c in table.columns]
            grid.add_row(*cells, style=STYLES.get(row.role, ""))
    return grid


def _head(column: Column) -> Text:
    """Group, title and unit below each other."""
    words = [column.group, column.title, f"({column.unit})" if column.unit else ""]
    width = HEAD_WIDTH if column.numeric else 10 * HEAD_WIDTH
    lines = [line for word in words for line in textwrap.wrap(word, width, break_long_words=False)]
    return Text("\n".join(lines) + _marks(column.marks), style="bold")


def _cell(cell: Cell, column: Column, table: Table, role: str, show_n: bool) -> Text:
    parts = printed(cell, column, show_n)
    text = Text(parts.value + _marks(cell.marks), style="bold" if is_best(cell, column, table, role) else "")
    return text.append("".join(f"\n{line}" for line in _below(parts)), style="not bold dim")


def _below(parts: Printed) -> Iterator[str]:
    if parts.spread:
        yield f"±{parts.spread}"
    if parts.interval:
        yield f"[{parts.interval}]"
    yield from (piece for piece in (parts.n, parts.gain) if piece)


def _marks(marks: tuple[str, ...]) -> str:
    text = ",".join(mark for mark in marks if mark)
    return f" [{text}]" if text else ""
