"""Tables as text: Markdown, LaTeX, CSV, HTML, the terminal; each format is one module that only knows a ``Table``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.render.csv import results_to_csv, tables_to_csv
from benchmarks.render.html import to_html
from benchmarks.render.latex import to_latex
from benchmarks.render.markdown import to_markdown
from benchmarks.store import Result
from benchmarks.tables.table import Table
from nas.errors import unknown
from nas.files import atomic_write

if TYPE_CHECKING:
    from rich.console import Console

FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": tables_to_csv,
    "html": to_html,
}


def render(tables: Sequence[Table], format: str) -> str:
    """The tables in one of :data:`FORMATS`; raises ``UnknownName`` for any other."""
    if format not in FORMATS:
        raise unknown("table format", format, FORMATS)
    return FORMATS[format](tables)


def write_tables(
    run_dir: Path, results: Iterable[Result], *, published: bool = False, allow_mixed: bool = False
) -> list[Path]:
    """Write ``tables.md``, ``tables.tex`` and ``results.csv`` into the run directory and return their paths."""
    from benchmarks.tables.build import build_tables

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
    from benchmarks.tables.build import build_tables

    show_tables(build_tables(results, published=published, allow_mixed=allow_mixed), console)


def show_tables(tables: Sequence[Table], console: Console) -> None:
    """Print finished tables on a terminal."""
    from benchmarks.render.terminal import print_tables as print_all

    print_all(tables, console)
