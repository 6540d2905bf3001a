"""``naswild table`` and ``naswild report``: what a run came to, without running anything."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from benchmarks.cli.options import console, find_run_dir

Run = Annotated[str, typer.Argument(help="A suite that was run here, or a run directory.")]


def table(
    run: Run,
    form: Annotated[
        Literal["screen", "markdown", "latex", "csv", "long"],
        typer.Option("--format", "-f", help="csv: the tables under one head; long: a line a measured number."),
    ] = "screen",
    published: Annotated[bool, typer.Option("--published", help="Add the paper's rows.")] = False,
    columns: Annotated[
        str, typer.Option("--columns", help="Only these columns (titles, groups or keys), separated by commas.")
    ] = "",
    mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Put several protocols in a column and mark the cells.")
    ] = False,
) -> None:
    """Print the comparison tables of a run.

    Examples:

    \b
    naswild table mini
    naswild table mini --format latex > tables.tex
    naswild table runs/mini --published
    naswild table mini --published --format csv > tables.csv
    naswild table mini --format long > results.csv
    naswild table paper-table4 --columns AP,AP50,Params --format latex
    """
    from benchmarks.publish import current_results
    from benchmarks.reported import is_reported

    names = [name.strip() for name in columns.split(",") if name.strip()]
    results = current_results(find_run_dir(run))
    if form == "long":
        from benchmarks.render.csv import results_to_csv

        if published or names:
            raise typer.BadParameter("--format long is of measured numbers, all of them: for tables take --format csv")
        typer.echo(results_to_csv(results), nl=False)
        return
    from benchmarks.render import render, show_tables
    from benchmarks.tables.build import build_tables
    from benchmarks.tables.select import select_columns

    mixed = mixed or any(is_reported(result) for result in results)
    tables = build_tables(results, published=published, allow_mixed=mixed)
    tables = select_columns(tables, names) if names else tables
    if form == "screen":
        show_tables(tables, console())
    else:
        typer.echo(render(tables, form), nl=False)


def report(run: Run) -> None:
    """Write the report of a run, one HTML file that opens from disk.

    Example:

    \b
    naswild report mini
    """
    from benchmarks.publish import current_results
    from benchmarks.report import write_report

    run_dir = find_run_dir(run)
    typer.echo(write_report(run_dir, current_results(run_dir)))
