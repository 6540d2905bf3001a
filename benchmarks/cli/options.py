"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Import a module that registers tasks, data or search methods."),
]
Slots = Annotated[
    int | None,
    typer.Option("--slots", min=1, help="Jobs at once (default: one per GPU, else one per CPU core)."),
]
RunDir = Annotated[
    Path | None, typer.Option("--run-dir", metavar="FOLDER", help="Where results go (default: runs/NAME).")
]
Seed = Annotated[int, typer.Option("--seed", help="Decides everything random.")]


def numbers(text: str) -> tuple[int, ...]:
    """``"0,1,2"`` or ``"0-9"`` as numbers; a usage error otherwise."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise typer.BadParameter(f"{text!r}: give numbers such as 0,1,2 or 0-9")
        found += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(found))


def console() -> Console:
    """Standard output; wide enough for the tables where it is not a terminal."""
    from rich.console import Console

    plain = Console()
    if plain.is_terminal or "COLUMNS" in os.environ:
        return plain
    return Console(width=160)


def find_run_dir(name: str) -> Path:
    """The run directory that ``name`` means: a folder, or a suite that was run here.

    Raises:
        UnknownName: neither; with near matches.
    """
    from nas.errors import unknown

    for candidate in (Path(name), Path("runs") / name):
        if (candidate / "results").is_dir():
            return candidate
    known = [path.parent.name for path in Path("runs").glob("*/results")]
    raise unknown("run", name, known)
