"""What stands at the end of every run: the tables on the screen, and the files a run directory shows the world."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.store import load_results

if TYPE_CHECKING:
    from rich.console import Console


def publish(run_dir: Path, screen: Console) -> list[Path]:
    """Print the tables of all results of a run and write tables.md, tables.tex, results.csv and report.html."""
    from benchmarks.report import write_report
    from benchmarks.tables import print_tables, write_tables

    results = load_results(run_dir)
    if not results:
        return []
    print_tables(results, screen)
    return [*write_tables(run_dir, results), write_report(run_dir, results)]
