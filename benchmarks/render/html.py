"""Tables as HTML: a fragment that the report and a page of tables share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from benchmarks.render.numbers import Printed, is_best, printed, varying_n
from benchmarks.tables.table import Block, Cell, Column, Row, Table


def to_html(tables: Iterable[Table]) -> str:
    """A plain page with all tables."""
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>naswild</title></head>'
    body = "\n".join(table_fragment(table) for table in tables)
    return f"{head}\n<body>\n{body}\n</body></html>\n"


def table_fragment(table: Table) -> str:
    """One ``<figure>``: caption, table, notes. Cells carry ``data-sort``; rows carry their block and role."""
    rows = "\n".join(_body(table))
    notes = "".join(f"<li>{_marks((note.mark,))} {escape(note.text)}</li>" for note in table.notes)
    return (
        f'<figure class="table" id="table-{table.name}"><figcaption>{escape(table.caption)}</figcaption>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.caption)}"><table>'
        f"<thead>{_groups(table.columns)}{_heads(table.columns)}</thead>\n{rows}\n</table></div>\n"
        f'<ul class="notes">{notes}</ul></figure>'
    )


def _groups(columns: tuple[Column, ...]) -> str:
    if not any(column.group for column in columns):
        return ""
    cells = [
        f'<th class="group" colspan="{len(list(members))}" scope="colgroup">{escape(group)}</th>'
        for group, members in groupby(columns, key=lambda column: column.group)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _heads(columns: tuple[Column, ...]) -> str:
    cells = [
        f'<th scope="col"{_number_class(column)} data-column="{escape(column.key)}">'
        f"{escape(column.head)}{_marks(column.marks)}</th>"
        for column in columns
    ]
    return f'<tr class="heads">{"".join(cells)}</tr>'


def _body(table: Table) -> Iterator[str]:
    show_n = varying_n(table)
    for block in table.blocks:
        published = ' class="published"' if block.source else ""
        yield f"<tbody{published}>"
        yield f'<tr class="block"><th colspan="{len(table.columns)}" scope="rowgroup">{_title(block)}</th></tr>'
        for row in block.rows:
            cells = [
                _cell(row.cell(column), column, is_best(row.cell(column), column, table, row.role), show_n)
                for column in table.columns
            ]
            yield f'<tr class="{row.role}"{_row_label(row)}>{"".join(cells)}</tr>'
        yield "</tbody>"


def _title(block: Block) -> str:
    source = f' <span class="source">published: {escape(block.source)}</span>' if block.source else ""
    return escape(block.title) + source


def _row_label(row: Row) -> str:
    name = row.cells.get("name")
    return f' data-name="{escape(name.text)}"' if name is not None and name.text else ""


def _cell(cell: Cell, column: Column, best: bool, show_n: bool) -> str:
    text = printed(cell, column, show_n)
    sort = "" if cell.value is None else f' data-sort="{cell.value:.12g}"'
    value = f"<b>{escape(text.value)}</b>" if best else escape(text.value)
    return f"<td{_number_class(column)}{sort}>{value}{_extra(text)}{_marks(cell.marks)}</td>"


def _extra(text: Printed) -> str:
    parts = [f"± {text.spread} {text.n}".strip()] if text.spread else []
    parts += [f"[{text.interval}]"] if text.interval else []
    parts += [f"({text.gain})"] if text.gain else []
    return "".join(f" <small>{escape(part)}</small>" for part in parts)


def _number_class(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


def _marks(marks: tuple[str, ...]) -> str:
    text = ",".join(escape(mark) for mark in marks if mark)
    return f"<sup>{text}</sup>" if text else ""
