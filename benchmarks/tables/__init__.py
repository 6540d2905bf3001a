"""The comparison tables: pure functions of results and of the published numbers.

Public face: :func:`build_tables`, :func:`published_tables`, :func:`write_tables`, :func:`print_tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.store import Result

__all__ = [
    "Block",
    "Cell",
    "Column",
    "Note",
    "Row",
    "Table",
    "build_tables",
    "print_tables",
    "published_tables",
    "show_tables",
    "write_tables",
]


def build_tables(results: Iterable[Result], *, published: bool = False, allow_mixed: bool = False) -> list[Table]:
    """Classification, detection, re-identification, own tasks, wild score, correlation: those that have results.

    With ``published`` the paper's rows are added as blocks of their own. Raises ``MixedProtocols`` where one column
    would hold results of two protocols, unless ``allow_mixed``; then every such cell is marked with its protocol.
    """
    from benchmarks.tables.build import build
    from benchmarks.tables.measurements import Measurements

    return build(Measurements(results, allow_mixed), published)


def published_tables() -> list[Table]:
    """Tables 1 to 5 of the paper, as printed."""
    from benchmarks.tables.published import published_tables as tables
    from benchmarks.tables.select import order_footnotes

    return [order_footnotes(table) for table in tables()]


def write_tables(
    run_dir: Path, results: Iterable[Result], *, published: bool = False, allow_mixed: bool = False
) -> list[Path]:
    """Write ``tables.md``, ``tables.tex`` and ``results.csv`` into the run directory and return their paths."""
    from benchmarks.render import render
    from benchmarks.render.csv import results_to_csv
    from nas.files import atomic_write

    results = list(results)
    tables = build_tables(results, published=published, allow_mixed=allow_mixed)
    contents = {
        "tables.md": render(tables, "markdown"),
        "tables.tex": render(tables, "latex"),
        "results.csv": results_to_csv(results),
    }
    for name, content in contents.items():
        atomic_write(run_dir / name, content.encode())
    return [run_dir / name for name in contents]


def print_tables(
    results: Iterable[Result], console: Console, *, published: bool = False, allow_mixed: bool = False
) -> None:
    """Print the tables of ``results`` on a terminal."""
    show_tables(build_tables(results, published=published, allow_mixed=allow_mixed), console)


def show_tables(tables: Sequence[Table], console: Console) -> None:
    """Print finished tables on a terminal."""
    from benchmarks.render.terminal import print_tables as print_all

    print_all(tables, console)
