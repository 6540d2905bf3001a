"""The commands that pages, headers and docstrings show: each with its words, its file and its line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("naswild", "python", "make")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)(``?)([^`]+)\1(?!`)")
MARGIN = re.compile(r"\n[ \t]*(?:#[ \t]*)?")  # between two lines of one command that a comment or a paragraph wraps
INDENTED = re.compile(r"^(?:#[ \t]{2,}|[ \t]*(?=\S))((?:naswild|python -m) (?:.*\\\n)*.*)", re.MULTILINE)
ASSIGNMENT = re.compile(r"[A-Z_]+=")
OPERATORS = (";", "|", "||", "&", "&&")


@dataclass(frozen=True)
class Shown:
    """A command as it is shown; ``inline`` in running text, where it may leave out what the reader fills in."""

    program: str  # naswild, python or make
    words: tuple[str, ...]  # after the program
    inline: bool
    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {shlex.join((self.program, *self.words))}"


def shown_commands() -> list[Shown]:
    """Every ``naswild``, ``python -m`` and ``make`` command, in the order of the files."""
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md")] + sorted(ROOT.glob("docs/*.md"))
    sources = [ROOT / "Makefile"]
    for package in ("nas", "backbones", "detection", "reid", "benchmarks"):
        sources += sorted(ROOT.glob(f"{package}/**/*.py"))
    sources += sorted(ROOT.glob("benchmarks/**/*.yaml"))
    return [found for page in pages for found in in_page(page, page.read_text(encoding="utf-8"))] + [
        found for source in sources for found in in_source(source, source.read_text(encoding="utf-8"))
    ]


def in_page(path: Path, text: str) -> Iterator[Shown]:
    """Commands of a Markdown page: those of its console blocks, and its inline code."""
    for block in FENCE.finditer(text):
        if block[1] in ("console", "sh", "bash"):
            for line in re.finditer(r"^(?:\$ )?((?:.*\\\n)*.*)$", block[2], re.MULTILINE):
                yield from split(line[1], False, path, text[: block.start(2) + line.start()].count("\n") + 1)
    yield from _inline(path, FENCE.sub(lambda block: "\n" * block[0].count("\n"), text))


def in_source(path: Path, text: str) -> Iterator[Shown]:
    """Commands of comments and docstrings: lines that begin with one, and code in single or double backticks."""
    for line in INDENTED.finditer(text):
        yield from split(line[1], False, path, text[: line.start(1)].count("\n") + 1)
    yield from _inline(path, text)


def _inline(path: Path, text: str) -> Iterator[Shown]:
    for code in INLINE.finditer(text):
        if code[2].count("\n") < 2:
            yield from split(MARGIN.sub(" ", code[2]), True, path, text[: code.start()].count("\n") + 1)


def split(text: str, inline: bool, path: Path, line: int) -> Iterator[Shown]:
    """The commands of a shell line without variables set before them, redirections and the comment after them."""
    if not any(program in text for program in PROGRAMS):
        return
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "" if inline else "#"
    try:
        words = [*lexer, ";"]
    except ValueError:  # a quotation mark in prose: no command
        return
    command: list[str] = []
    for word in words:
        if word not in OPERATORS:
            command.append(word)
            continue
        while command and ASSIGNMENT.match(command[0]):
            del command[0]
        if command and Path(command[0]).name in PROGRAMS and (len(command) > 1 or not inline):
            yield Shown(Path(command[0]).name, tuple(_arguments(command[1:])), inline, path, line)
        command = []


def _arguments(words: list[str]) -> Iterator[str]:
    """``words`` without redirections."""
    rest = iter(words)
    for word in rest:
        if word in (">", ">>", "<"):
            next(rest, None)
        else:
            yield word
