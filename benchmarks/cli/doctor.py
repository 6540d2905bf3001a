"""``naswild doctor``: the state of this installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.options import console


def doctor(
    root: Annotated[
        Path | None, typer.Option("--data", metavar="FOLDER", help="Look for data sets here (default: $NASWILD_DATA).")
    ] = None,
) -> None:
    """Report installed packages, accelerators and data sets, and how to install what is missing.

    Examples:

    \b
    naswild doctor
    naswild doctor --data ~/data
    """
    from rich.markup import escape

    from benchmarks.doctor import examine

    screen, colours = console(), {"ok": "green", "missing": "yellow", "broken": "red"}
    findings = examine(root)
    for group in dict.fromkeys(finding.group for finding in findings):
        screen.print(f"[bold]{group}[/]")
        for finding in (found for found in findings if found.group == group):
            state = f"[{colours[finding.state]}]{finding.state:7}[/]"
            screen.print(f"  {state} {escape(finding.name):24} {escape(finding.text)}", highlight=False, soft_wrap=True)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
