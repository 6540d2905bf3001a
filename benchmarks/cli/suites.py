"""``naswild suite``: the packaged suites, and a file to start one of your own from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.options import console

app = typer.Typer(help="List and show suites, start one of your own.", no_args_is_help=True)


@app.command("list")
def list_suites() -> None:
    """List the packaged suites with their scales.

    Example:

    \b
    naswild suite list
    """
    from rich.markup import escape
    from rich.table import Table

    from benchmarks.suite import load_suite, suite_names

    table = Table("suite", "what it is", "scales", box=None, header_style="bold")
    for name in suite_names():
        suite, _ = load_suite(name)
        table.add_row(name, escape(suite.title), ", ".join(suite.scales))
    console().print(table)


@app.command("show")
def show_suite(name: Annotated[str, typer.Argument(help="Name of a packaged suite.")]) -> None:
    """Print a packaged suite: its header says what it costs and what to expect.

    Example:

    \b
    naswild suite show paper-table5
    """
    from benchmarks.suite import FOLDER
    from benchmarks.yamlfile import find_named

    typer.echo(find_named("suite", name, FOLDER).read_text(encoding="utf-8"), nl=False)


@app.command("new")
def new_suite(file: Annotated[Path, typer.Argument(help="The file to write, my-suite.yaml.")]) -> None:
    """Write a commented suite to start from; it runs unchanged.

    Example:

    \b
    naswild suite new my-suite.yaml
    """
    from importlib.resources import files

    from nas.errors import NaswildError

    if file.exists():
        raise NaswildError(f"{file} exists already; give another name")
    template = files("benchmarks").joinpath("templates/suite.yaml").read_text(encoding="utf-8")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(template.replace("SUITE", str(file)).replace("NAME", file.stem), encoding="utf-8")
    typer.echo(f"{file}\nrun it: naswild run {file}")
