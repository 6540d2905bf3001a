"""``naswild zoo``: the published cells."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from benchmarks.cli.options import console

if TYPE_CHECKING:
    from nas.genotype import Genotype

HELP = """The published cells, as data.

Examples:

\b
naswild zoo list darts
naswild zoo show pdarts_cifar10
naswild zoo table
"""

app = typer.Typer(help=HELP, no_args_is_help=True)


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
    typer.echo(json.dumps(genotype.to_dict()) if _irregular(genotype) else genotype.to_text())
    for line in _measures(genotype):
        typer.echo(line)
    if name in zoo.names():
        entry = zoo.entry(name)
        typer.echo(f"method       {entry.method}\npaper        {entry.paper}\nsearched on  {entry.searched_on}")
        for source in entry.sources:
            typer.echo(f"source       {_where(source)}")
        for note in entry.notes:
            typer.echo(f"note         {note}")


@app.command("draw")
def draw_cell(
    name: Annotated[str, typer.Argument(help="Name of a cell, or a genotype file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="NAME.svg by default; .png draws a bitmap.")
    ] = None,
) -> None:
    """Draw the normal and the reduction cell.

    Examples:

    \b
    naswild zoo draw pdarts_cifar10
    naswild zoo draw my_cell.json -o my_cell.png
    """
    from nas.draw import draw_png, draw_svg
    from nas.errors import NaswildError
    from nas.files import atomic_write
    from nas.genotype import Genotype

    genotype = Genotype.load(name)
    path = out or Path(f"{Path(name).stem}.svg")
    if path.suffix == ".png":
        draw_png(genotype, path)
    elif path.suffix == ".svg":
        atomic_write(path, draw_svg(genotype).encode())
    else:
        raise NaswildError(f"{path}: a drawing is an .svg or a .png file")
    typer.echo(path)


@app.command("table")
def table_of_cells(
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it there instead.")] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Also measure each network on this machine: some seconds each.")
    ] = False,
) -> None:
    """Print every cell with its parameters, multiply-adds and published numbers as a Markdown table.

    Examples:

    \b
    naswild zoo table
    naswild zoo table --latency -o cells.md
    """
    from benchmarks.zoo_table import build_rows, markdown
    from nas import zoo
    from nas.files import atomic_write

    names = zoo.names()
    with typer.progressbar(length=len(names), label="cells", file=sys.stderr) as bar:
        text = markdown(build_rows(names, latency, lambda _: bar.update(1)))
    if out is None:
        typer.echo(text)
    else:
        atomic_write(out, text.encode())
        typer.echo(out)


def _irregular(genotype: Genotype) -> bool:
    """Whether some node has another number of inputs than two, which the classic text cannot say."""
    return any(len(node) != 2 for cell in (genotype.normal, genotype.reduce) for node in cell.nodes)


def _measures(genotype: Genotype) -> Iterator[str]:
    """Structure of both cells, and the size of the paper's two networks."""
    from nas import build_network, count

    for label, cell in (("normal", genotype.normal), ("reduction", genotype.reduce)):
        yield f"{label:12} {cell.skips} skip-connects, longest path {cell.longest_path}, levels {_levels(cell.levels)}"
    for label, stem, classes, size in (("CIFAR", "cifar", 10, 32), ("ImageNet", "imagenet", 1000, 224)):
        found = count(build_network(genotype, stem, num_classes=classes), size)  # type: ignore[arg-type]
        yield f"{label:12} {found.parameters:,} parameters, {found.macs:,} multiply-adds at {size} x {size}"


def _levels(levels: Mapping[int, int]) -> str:
    return " ".join(f"{state}:{level}" for state, level in levels.items() if state > 1)


def _where(source: Mapping[str, Any]) -> str:
    """A line of a repository: ``chenxin061/pdarts genotypes.py:77 PDARTS (b880e87)``."""
    place = f" {source['path']}" if source.get("path") else ""
    line = f":{source['line']}" if place and source.get("line") else ""
    name = f" {source['name']}" if source.get("name") else ""
    commit = f" ({source['commit'][:7]})" if source.get("commit") else ""
    return f"{source['repo']}{place}{line}{name}{commit}"
