"""The LaTeX of every table compiles, prints minus signs, and fits where columns are chosen."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic import mini_results

from benchmarks.render import render
from benchmarks.tables import Block, Cell, Column, Note, Row, Table
from benchmarks.tables.build import build_tables
from benchmarks.tables.published import published_tables
from benchmarks.tables.select import order_footnotes, select_columns
from nas.errors import UnknownName

PAGE = r"""\documentclass[twocolumn]{article}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


def compiled(tables: list[Table], folder: Path) -> str:
    """What pdflatex says about these tables; the test is skipped where there is no TeX."""
    if shutil.which("pdflatex") is None or not _has_booktabs():
        pytest.skip("no pdflatex with booktabs; Debian: texlive-latex-base, texlive-latex-recommended")
    (folder / "t.tex").write_text(PAGE % render(tables, "latex"), encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


def _has_booktabs() -> bool:
    found = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False)
    return found.returncode == 0


def test_every_table_compiles(tmp_path: Path) -> None:
    results = mini_results(seeds=(0, 1), search_seeds=(0, 1, 2))
    compiled([*build_tables(results, published=True), *published_tables()], tmp_path)


def test_chosen_columns_fit_the_width_of_the_page(tmp_path: Path) -> None:
    results = mini_results(seeds=(0, 1), search_seeds=(0, 1, 2))
    said = compiled(select_columns(build_tables(results), ["AP", "AP50", "Params"]), tmp_path)
    assert "Overfull" not in said


def test_columns_are_chosen_by_title_group_or_key_and_names_of_rows_stay() -> None:
    tables = build_tables(mini_results())
    reid, wild = select_columns(tables, ["market-1501"])
    assert [column.title for column in wild.columns] == ["Backbone", "Market-1501"]
    assert [column.title for column in reid.columns] == ["Backbone", "Parts", "Rank-1", "mAP"]
    (detection,) = select_columns(tables, ["coco_AP"])
    assert [column.key for column in detection.columns if not column.identifies] == ["coco_AP"]
    with pytest.raises(UnknownName, match="AP50"):
        select_columns(tables, ["AP5O"])


def test_a_negative_number_has_a_minus_and_a_name_keeps_its_hyphen() -> None:
    columns = (Column("name", "Name", numeric=False), Column("x", "X", unit="%", scale=100))
    cell = Cell(-0.041, interval=(-0.1, 0.02), gain=-0.3, n=2, deviation=0.01)
    row = Row({"name": Cell(text="res-50 x-1"), "x": cell})
    text = render([Table("t", "T", columns, (Block("B", (row,)),))], "latex")
    line = next(line for line in text.splitlines() if "res-50" in line)
    assert line.startswith("res-50 x-1 & $-$4.1")
    assert "{[}$-$10.0, 2.0{]}" in line
    assert re.search(r"\(\$-\$30\.0\\%\)", line)


def test_footnotes_come_in_the_order_of_their_marks_and_ours_are_numbered_so() -> None:
    rows = (Row({"x": Cell(1.0, marks=("p4",))}), Row({"x": Cell(2.0, marks=("†", "p2"))}))
    notes = (Note("plain"), Note("dagger", "†"), Note("two", "p2"), Note("four", "p4"), Note("gone", "p9"))
    table = order_footnotes(Table("t", "T", (Column("x", "X"),), (Block("B", rows),), notes))
    assert [(note.text, note.mark) for note in table.notes] == [
        ("plain", ""), ("four", "p1"), ("dagger", "†"), ("two", "p2"),
    ]  # fmt: skip
    assert [row.cells["x"].marks for row in table.rows()] == [("p1",), ("†", "p2")]


@pytest.mark.parametrize("table", published_tables(), ids=lambda table: table.name)
def test_the_papers_footnotes_come_in_order(table: Table) -> None:
    marks = [mark for column in table.columns for mark in column.marks]
    marks += [mark for row in table.rows() for column in table.columns for mark in row.cell(column).marks]
    assert [note.mark for note in table.notes if note.mark] == list(dict.fromkeys(marks))
