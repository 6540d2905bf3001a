"""Tables as LaTeX that compiles with pdflatex and the package booktabs alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from benchmarks.render.numbers import Printed, is_best, printed, varying_n
from benchmarks.tables.table import Block, Column, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # else an optional argument of the \\ before it
    "]": "{]}",
    "±": r"$\pm$",
    "–": "--",
    "—": "---",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
}


def to_latex(tables: Iterable[Table]) -> str:
    """All tables, each a ``table*`` float with its notes below the rules."""
    head = "% Needs \\usepackage{booktabs}. Written by naswild; --columns leaves out what does not fit.\n"
    return head + "\n".join("\n".join(_table(table)) for table in tables)


def escape(text: str) -> str:
    """Text with every character that LaTeX reads as a command made printable."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _table(table: Table) -> Iterator[str]:
    show_n = varying_n(table)
    yield r"\begin{table*}[t]"
    yield r"\centering\small"
    yield rf"\caption{{{escape(table.caption)}}}"
    yield rf"\label{{tab:{table.name}}}"
    yield rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in table.columns)}}}"
    yield r"\toprule"
    yield from _groups(table.columns)
    yield _line(escape(column.head) + _marks(column.marks) for column in table.columns)
    for block in table.blocks:
        yield r"\midrule"
        yield rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\textit{{{escape(_title(block))}}}}} \\"
        for row in block.rows:
            yield _line(
                _cell(printed(row.cell(column), column, show_n), is_best(row.cell(column), column, table, row.role))
                for column in table.columns
            )
    yield r"\bottomrule"
    yield r"\end{tabular}"
    for note in table.notes:
        yield rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {_marks((note.mark,))}{escape(note.text)}}}"
    yield r"\end{table*}"
    yield ""


def _title(block: Block) -> str:
    return f"{block.title} -- published: {block.source}" if block.source else block.title


def _groups(columns: tuple[Column, ...]) -> Iterator[str]:
    """The line of group heads with a rule under each; nothing where no column has a group."""
    if not any(column.group for column in columns):
        return
    heads, rules, start = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        width = len(list(members))
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(group)}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    yield _line(heads)
    yield "".join(rules)


def _cell(cell: Printed, best: bool) -> str:
    value = rf"\textbf{{{_number(cell.value)}}}" if best else _number(cell.value)
    extra = [rf"$\pm$ {escape(cell.spread)}"] if cell.spread else []
    extra += [_number(f"[{cell.interval}]")] if cell.interval else []
    extra += [f"({_number(part)})" for part in (cell.n, cell.gain) if part]
    small = rf" {{\scriptsize {' '.join(extra)}}}" if extra else ""
    return value + small + _marks(cell.marks)


def _number(text: str) -> str:
    """Escaped text in which the sign of a negative number is a minus, not a hyphen."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escape(text))


def _marks(marks: tuple[str, ...]) -> str:
    text = ",".join(escape(mark) for mark in marks if mark)
    return rf"\textsuperscript{{{text}}}" if text else ""


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
