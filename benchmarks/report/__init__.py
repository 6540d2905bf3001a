"""The report: one self-contained HTML file with the answer, the tables, the figures and where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.store import Result


def write_report(run_dir: Path, results: Iterable[Result], *, published: bool = False) -> Path:
    """Write ``report.html`` into the run directory and return its path.

    Pictures that the results name as artifacts are read from ``run_dir`` and embedded; the file needs no network.
    Columns that mix protocols are shown with their cells marked. With ``published`` the paper's rows are added.
    """
    from benchmarks.report.page import render_page
    from nas.files import atomic_write

    path = Path(run_dir) / "report.html"
    atomic_write(path, render_page(Path(run_dir), list(results), published).encode())
    return path
