"""Tables as text: Markdown, LaTeX, CSV, HTML, the terminal; each format is one module that only knows a ``Table``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.render.csv import tables_to_csv
from benchmarks.render.html import to_html
from benchmarks.render.latex import to_latex
from benchmarks.render.markdown import to_markdown
from benchmarks.tables.table import Table
from nas.errors import unknown

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
