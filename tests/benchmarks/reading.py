"""Reading finished tables in tests: one table, one row, all notes."""

from __future__ import annotations

from benchmarks.store import Result
from benchmarks.tables import Row, Table
from benchmarks.tables.build import build_tables


def table(name: str, results: list[Result], **options: bool) -> Table:
    return next(t for t in build_tables(results, **options) if t.name == name)


def row(table: Table, name: str, **cells: str) -> Row:
    return next(
        r for r in table.rows() if r.cells["name"].text == name and all(r.cells[k].text == v for k, v in cells.items())
    )


def notes(table: Table) -> str:
    return "\n".join(note.text for note in table.notes)


def on_published_data(results: list[Result], *names: str) -> list[Result]:
    """The same results, those on the data sets ``names`` with the mark of a published set."""
    return [
        r.model_copy(update={"details": {**r.details, "data_is_published": r.task in names}})
        if r.kind in ("detect", "reid")
        else r
        for r in results
    ]
