"""Fewer columns of a table, and footnotes in the order in which a reader meets them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.tables.table import Cell, Column, Row, Table
from nas.errors import unknown


def select_columns(tables: Iterable[Table], names: Sequence[str]) -> list[Table]:
    """Keep the columns that ``names`` name, and those that identify a row; a table without any of them is left out.

    A name is a column's title (``AP``, ``Params``), its group (``Market-1501``) or its key (``coco_AP``).

    Raises:
        UnknownName: no table has such a column; with near matches.
    """
    tables = list(tables)
    known = {word for table in tables for column in table.columns for word in _words(column)}
    for name in names:
        if name.lower() not in {word.lower() for word in known}:
            raise unknown("column", name, known)
    wanted = {name.lower() for name in names}
    found = []
    for table in tables:
        chosen = [column for column in table.columns if wanted & {word.lower() for word in _words(column)}]
        if chosen:
            columns = tuple(column for column in table.columns if column.identifies or column in chosen)
            found.append(order_footnotes(replace(table, columns=columns)))
    return found


def _words(column: Column) -> set[str]:
    return {word for word in (column.key, column.title, column.group) if word}


def order_footnotes(table: Table) -> Table:
    """The table with its footnotes in the order of their marks, our own marks p1, p2, ... numbered in that order.

    A footnote whose mark no column or cell of the table carries is left out.
    """
    met = [mark for column in table.columns for mark in column.marks]
    met += [mark for row in table.rows() for column in table.columns for mark in row.cell(column).marks]
    order = list(dict.fromkeys(mark for mark in met if mark))
    ours = [mark for mark in order if re.fullmatch(r"p\d+", mark)]
    names = {mark: f"p{1 + ours.index(mark)}" if mark in ours else mark for mark in order}

    def renamed(cell: Cell) -> Cell:
        return replace(cell, marks=tuple(names.get(mark, mark) for mark in cell.marks)) if cell.marks else cell

    footnotes = sorted((note for note in table.notes if note.mark in order), key=lambda note: order.index(note.mark))
    plain = [note for note in table.notes if not note.mark]
    return replace(
        table,
        columns=tuple(replace(c, marks=tuple(names.get(m, m) for m in c.marks)) for c in table.columns),
        blocks=tuple(
            replace(block, rows=tuple(Row({k: renamed(c) for k, c in r.cells.items()}, r.role) for r in block.rows))
            for block in table.blocks
        ),
        notes=(*plain, *(replace(note, mark=names[note.mark]) for note in footnotes)),
    )
