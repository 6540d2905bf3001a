"""Tables as Markdown that reads well as plain text too."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.render.numbers import Printed, is_best, printed, varying_n
from benchmarks.tables.table import Block, Column, Table


def to_markdown(tables: Iterable[Table]) -> str:
    """All tables, each with a heading and its notes as a list below it."""
    return "\n".join(_table(table) for table in tables)


def _table(table: Table) -> str:
    show_n = varying_n(table)
    rows = [_line([_head(column) for column in table.columns])]
    rows.append("|" + "|".join(" ---: " if column.numeric else " :--- " for column in table.columns) + "|")
    for block in table.blocks:
        rows.append(_line([f"*{_escape(_title(block))}*", *[""] * (len(table.columns) - 1)]))
        for row in block.rows:
            cells = []
            for column in table.columns:
                text = _cell(printed(row.cell(column), column, show_n))
                cells.append(f"**{text}**" if is_best(row.cell(column), column, table, row.role) else text)
            rows.append(_line(cells))
    notes = [f"- {_marks((note.mark,))}{' ' if note.mark else ''}{_escape(note.text)}" for note in table.notes]
    return "\n".join([f"### {_escape(table.caption)}", "", *rows, "", *notes, ""])


def _title(block: Block) -> str:
    return f"{block.title} — published: {block.source}" if block.source else block.title


def _head(column: Column) -> str:
    text = f"{column.group} {column.head}" if column.group else column.head
    return _escape(text) + _marks(column.marks)


def _cell(cell: Printed) -> str:
    spread = f" ± {cell.spread}" if cell.spread else ""
    brackets = "".join(f" ({part})" for part in (cell.n, cell.gain) if part)
    interval = f" [{cell.interval}]" if cell.interval else ""
    return _escape(f"{cell.value}{spread}{interval}{brackets}") + _marks(cell.marks)


def _marks(marks: tuple[str, ...]) -> str:
    text = ",".join(mark for mark in marks if mark)
    return f"<sup>{text}</sup>" if text else ""


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(text: str) -> str:
    for character in "\\`*_|<>":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")
