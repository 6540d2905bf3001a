"""Copy the tables of a finished ``naswild run mini`` into the documentation.

``python -m benchmarks.render.demo runs/mini`` rewrites what lies between ``<!-- demo:begin -->`` and
``<!-- demo:end -->``: the detection table in README.md, the re-identification table in docs/benchmark.md. Run it in the
root of a checkout. The picture of the report (docs/images/report.png) is a screenshot and is replaced by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks.publish import current_results
from benchmarks.render.markdown import to_markdown
from benchmarks.store import Result
from benchmarks.tables.detection import detection_table
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.reidentification import reid_table
from benchmarks.tables.select import select_columns
from benchmarks.tables.table import EMPTY, Table
from nas.errors import NaswildError
from nas.files import atomic_write

REID_COLUMNS = ("Params", "Market-1501", "DukeMTMC-reID", "MSMT17")
BLOCK = re.compile(r"(<!-- demo:begin -->\n).*?(<!-- demo:end -->)", re.DOTALL)


def demo_tables(results: Iterable[Result]) -> dict[str, str]:
    """Return the Markdown table of each page by its path: detection in README.md, PCB with three parts in docs/.

    Raises:
        NaswildError: The results lack detection or re-identification.
    """
    measured = Measurements(list(results))
    detection, reid = detection_table(measured), reid_table(measured)
    if detection is None or reid is None:
        raise NaswildError("the run has no results of detection or re-identification; finish it: naswild run mini")
    (reid,) = select_columns([_three_parts(reid)], REID_COLUMNS)
    return {"README.md": _plain(detection), "docs/benchmark.md": _plain(reid)}


def fill(text: str, table: str) -> str:
    """Return the page ``text`` with ``table`` between its two demo comments."""
    filled, count = BLOCK.subn(lambda found: f"{found[1]}{table}\n{found[2]}", text)
    if count != 1:
        raise NaswildError(f"expected one block <!-- demo:begin --> ... <!-- demo:end -->, found {count}")
    return filled


def _three_parts(table: Table) -> Table:
    """Keep the rows of three parts and the chance level, which has none."""
    blocks = (
        replace(block, rows=tuple(row for row in block.rows if row.cells.get("parts", EMPTY).text in (None, "3")))
        for block in table.blocks
    )
    return replace(table, blocks=tuple(blocks))


def _plain(table: Table) -> str:
    """Render only the rows: caption and notes are replaced by the page's own text."""
    return "\n".join(line for line in to_markdown([table]).splitlines() if line.startswith("|"))


def main() -> None:
    """Rewrite the pages from the run directory given on the command line (default: runs/mini)."""
    run_dir = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mini")
    for name, table in demo_tables(current_results(run_dir)).items():
        page = Path(name)
        atomic_write(page, fill(page.read_text(encoding="utf-8"), table).encode())


if __name__ == "__main__":
    main()
