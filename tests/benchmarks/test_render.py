"""Markdown, LaTeX, CSV, HTML and the terminal print the same numbers, each well formed."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console
from synthetic import mini_results

from benchmarks.render import FORMATS, render, show_tables
from benchmarks.render.csv import results_to_csv, table_to_csv
from benchmarks.render.latex import escape
from benchmarks.tables import Block, Cell, Column, Note, Row, Table
from benchmarks.tables.build import build_tables
from benchmarks.tables.published import published_tables
from nas.errors import UnknownName


def all_tables() -> list[Table]:
    return [*build_tables(mini_results(search_seeds=(0, 1, 2)), published=True), *published_tables()]


def small(name: str = "a_b & 50%", **cell: object) -> Table:
    columns = (Column("name", "Name", numeric=False, identifies=True), Column("x", "X", unit="%", scale=100))
    rows = (Row({"name": Cell(text=name), "x": Cell(**cell)}),)  # type: ignore[arg-type]
    return Table("small", "Small #1", columns, (Block("Rows", rows),), (Note("50% of $5 {x} ~ ^ \\"),))


def test_every_line_of_a_markdown_table_has_as_many_cells_as_its_head() -> None:
    for table in all_tables():
        lines = [line for line in render([table], "markdown").splitlines() if line.startswith("|")]
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert counts == {len(table.columns) + 1}, table.name


def test_every_line_of_a_latex_table_fills_its_columns() -> None:
    for table in all_tables():
        text = render([table], "latex")
        body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
        for line in body.splitlines():
            if line.endswith(r"\\"):
                spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
                cells = len(re.findall(r"(?<!\\)&", line)) + 1
                assert cells + sum(spans) - len(spans) == len(table.columns), line


def test_latex_opens_and_closes_every_brace_and_environment() -> None:
    text = render(all_tables(), "latex")
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert sorted(re.findall(r"\\begin\{(\w+\*?)\}", text)) == sorted(re.findall(r"\\end\{(\w+\*?)\}", text))
    assert text.isascii()


def test_latex_special_characters_are_escaped() -> None:
    assert escape("a_b & 50% $x$ #1 {y} ~ ^ \\") == (
        r"a\_b \& 50\% \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert r"a\_b \& 50\%" in render([small(value=0.5)], "latex")


def test_a_name_with_markup_stays_text_in_every_format() -> None:
    table = small(name="<script>alert(1)</script>|*x*")
    assert "<script>" not in render([table], "html")
    assert "<script>" not in render([table], "markdown")


def test_a_single_run_prints_no_plus_minus() -> None:
    for name in FORMATS:
        assert "±" not in render([small(value=0.5)], name)
        assert r"\pm" not in render([small(value=0.5)], name)
    assert "50.0 ± 1.2" in render([small(value=0.5, deviation=0.0123, n=3)], "markdown")


def test_a_missing_number_is_a_dash_and_zero_has_no_sign() -> None:
    assert "| – |" in render([small()], "markdown")
    assert "| 0.0 (+0.0%) |" in render([small(value=-0.0001, gain=-0.0001)], "markdown")


def test_all_formats_print_the_same_numbers() -> None:
    for table in all_tables():
        rows = list(csv.DictReader(io.StringIO(table_to_csv(table))))
        texts = {name: render([table], name) for name in ("markdown", "latex", "html")}
        numbers = {value for row in rows for c in table.columns if c.numeric and (value := row[c.key])}
        for name, text in texts.items():
            assert [n for n in numbers if n.lstrip("~-+") not in text] == [], (table.name, name)


def test_results_csv_holds_every_metric_of_every_result() -> None:
    results = mini_results()
    lines = list(csv.DictReader(io.StringIO(results_to_csv(results))))
    assert len(lines) == sum(len(result.metrics) for result in results)
    line = next(line for line in lines if line["task"] == "msmt17" and line["metric"] == "mAP")
    result = next(r for r in results if r.key == line["key"])
    assert float(line["value"]) == result.metrics["mAP"].value
    assert line["variant"] == "parts=3"


class Balance(HTMLParser):
    """Collects the tags that are open, failing on one that closes out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _: object) -> None:
        if tag not in {"meta", "br", "img", "input", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_balanced() -> None:
    parser = Balance()
    parser.feed(render(all_tables(), "html"))
    assert parser.open == []


@pytest.mark.parametrize("width", [100, 120])
@pytest.mark.parametrize("search_seeds", [(0,), (0, 1, 2)])
def test_the_terminal_fits_its_width_and_truncates_no_number(width: int, search_seeds: tuple[int, ...]) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    tables = build_tables(mini_results(search_seeds=search_seeds))
    show_tables(tables, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    flat = re.sub(r"\s+", " ", text)
    for table in tables:
        for line in csv.DictReader(io.StringIO(table_to_csv(table))):
            assert all(line[c.key].lstrip("-") in flat for c in table.columns if c.numeric)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UnknownName, match="markdown"):
        render([], "markdwon")
