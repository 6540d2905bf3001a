"""``naswild zoo``: the published cells."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from benchmarks.cli.options import console

app = typer.Typer(help="The published cells, as data.", no_args_is_help=True)


@app.command("list")
def list_cells(text: Annotated[str, typer.Argument(help="Only cells whose name or method holds this.")] = "") -> None:
    """List the cells with their method, where they were searched, and whether their published size fits.

    Examples:

    \b
    naswild zoo list
    naswild zoo list darts
    """
    from rich.table import Table

    from nas import zoo

    table = Table("cell", "method", "searched on", "skips", "size verified", box=None, header_style="bold")
    for name in zoo.names():
        entry = zoo.entry(name)
        if text.lower() in name.lower() or text.lower() in entry.method.lower():
            skips = str(entry.genotype.normal.skips)
            table.add_row(name, entry.method, entry.searched_on, skips, "yes" if entry.verified else "")
    if not table.row_count:
        from nas.errors import unknown

        raise unknown("cell", text, zoo.names())
    console().print(table)


@app.command("show")
def show_cell(
    name: Annotated[str, typer.Argument(help="Name of a cell, or a genotype file.")],
    form: Annotated[
        Literal["text", "json"],
        typer.Option("--format", "-f", help="text: as DARTS prints it; json: a file of ours."),
    ] = "text",
) -> None:
    """Print the genotype of a cell, and for a published one where it comes from.

    Examples:

    \b
    naswild zoo show pdarts_cifar10
    naswild zoo show darts_v2 --format json > cell.json
    """
    from nas import zoo
    from nas.genotype import Genotype

    genotype = Genotype.load(name)
    if form == "json":
        typer.echo(json.dumps(genotype.to_dict(), indent=1))
        return
    typer.echo(genotype.to_text())
    if name in zoo.names():
        entry = zoo.entry(name)
        typer.echo(f"method       {entry.method}\npaper        {entry.paper}\nsearched on  {entry.searched_on}")
        for source in entry.sources:
            typer.echo("source       " + ", ".join(f"{key} {value}" for key, value in source.items()))
        for note in entry.notes:
            typer.echo(f"note         {note}")
