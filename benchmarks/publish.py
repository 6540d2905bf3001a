"""The output of a finished run: the tables on the screen, and the tables, CSV and report in the run directory.

A run directory keeps the results of protocols and cells that the suite no longer has. Only those of the suite as it is
now, with every seed that was ever run, and what other groups reported, go into its tables; which they are is written to
``current.json``.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.planner import make_plan
from benchmarks.reported import is_reported
from benchmarks.store import Result, StoreError, load_results, read_result, result_files
from nas.files import atomic_write

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.plan import Plan

log = logging.getLogger(__name__)

CURRENT = "current.json"
FILES = ("tables.md", "tables.tex", "results.csv", "report.html")


def publish(plan: Plan, screen: Console) -> list[Path]:
    """Print the tables of a suite and write tables.md, tables.tex, results.csv and report.html; the paths of these."""
    from benchmarks.render import print_tables, write_tables
    from benchmarks.report import write_report

    results = _select(plan)
    if not results:
        return []
    mixed = any(is_reported(result) for result in results)  # asked for by adding them; their cells are marked
    print_tables(results, screen, allow_mixed=mixed)
    current = json.dumps({"suite": plan.suite.name, "keys": [result.key for result in results]}, indent=1)
    paths = [plan.run_dir / name for name in FILES]
    if not _up_to_date(plan.run_dir, current, paths):
        paths = [*write_tables(plan.run_dir, results, allow_mixed=mixed), write_report(plan.run_dir, results)]
        atomic_write(plan.run_dir / CURRENT, current.encode())  # last: it says that the files are whole
    return paths


def _up_to_date(run_dir: Path, current: str, paths: list[Path]) -> bool:
    """Whether the files were written from these very results: drawing the report again would take a while."""
    record = run_dir / CURRENT
    if not record.exists() or record.read_text() != current or not all(path.exists() for path in paths):
        return False
    newest = max(path.stat().st_mtime_ns for path in result_files(run_dir))
    return newest < min(path.stat().st_mtime_ns for path in paths)


def _select(plan: Plan) -> list[Result]:
    """The results in the run directory that belong to the whole suite of ``plan``."""
    results = []
    for path in result_files(plan.run_dir):
        try:
            results.append(read_result(path))
        except StoreError as error:
            log.warning("%s", error)
    seeds = {result.seed for result in results if result.kind != "search"}
    suite = plan.suite.model_copy(update={"seeds": tuple(sorted(seeds.union(plan.suite.seeds)))})
    keys = make_plan(suite, plan.document, plan.run_dir).by_key
    return [result for result in results if result.key in keys or is_reported(result)]


def current_results(run_dir: Path) -> list[Result]:
    """The results that a run's tables show: those its last run named and reported ones, or all if it never ran."""
    results = load_results(run_dir)
    path = run_dir / CURRENT
    if not path.exists():
        return results
    keys = set(json.loads(path.read_text())["keys"])
    return [result for result in results if result.key in keys or is_reported(result)]
