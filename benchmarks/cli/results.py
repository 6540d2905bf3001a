"""``naswild results``: the results of a run, one by one or in pairs, and results that come from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.cli.options import console, find_run_dir
from benchmarks.cli.tables import Run

if TYPE_CHECKING:
    from benchmarks.tables import Table

app = typer.Typer(help="List, show, compare results; bring in others.", no_args_is_help=True)


@app.command("list")
def list_results(
    run: Run,
    text: Annotated[str, typer.Argument(help="Only results whose job name holds this.")] = "",
) -> None:
    """List the results of a run.

    Examples:

    \b
    naswild results list mini
    naswild results list mini reid-market1501
    """
    from rich.markup import escape
    from rich.table import Table

    from benchmarks.live import headline
    from benchmarks.store import load_results

    table = Table("job", "metrics", "seconds", box=None, header_style="bold")
    for result in load_results(find_run_dir(run), holding=text):
        table.add_row(escape(result.job), headline(result.metrics), f"{result.cost.seconds:.1f}")
    console().print(table)


@app.command("show")
def show_result(
    run: Run, key: Annotated[str, typer.Argument(help="Key of the result: the end of its job's name.")]
) -> None:
    """Print one result as JSON.

    Example:

    \b
    naswild results show mini 6c8f8400a568
    """
    from benchmarks.store import find_result, result_files
    from nas.errors import unknown

    folder = find_run_dir(run)
    result = find_result(folder, key)
    if result is None:
        raise unknown("result", key, (path.stem.rpartition("-")[2] for path in result_files(folder)))
    typer.echo(result.model_dump_json(indent=1))


@app.command("compare")
def compare(
    run: Run,
    a: Annotated[str, typer.Argument(help="A backbone, as the tables call it; none ranks all of them.")] = "",
    b: Annotated[str, typer.Argument(help="Another one.")] = "",
) -> None:
    """Rank all backbones over the data sets, or compare two on the same test images and queries.

    Two are compared by the mean difference of their scores with its interval.

    Examples:

    \b
    naswild results compare mini
    naswild results compare mini pdarts_cifar10 darts_v2
    """
    from benchmarks.paired import compare as compare_pairs
    from benchmarks.publish import current_results
    from benchmarks.render import show_tables
    from benchmarks.report.paired import pair_row, pair_table

    folder = find_run_dir(run)
    if not (a and b):
        show_tables([_ranks(folder, a)], console())
        return
    pairs = compare_pairs(folder, current_results(folder), a, b)
    show_tables([pair_table([pair_row(pair, a, b) for pair in pairs])], console())


@app.command("add")
def add(
    into: Annotated[Path, typer.Argument(help="Run directory that gets them.")],
    files: Annotated[list[Path], typer.Argument(help="CSV or JSON files of another group.")],
) -> None:
    """Add numbers reported by another group; tables mark them, and never mix protocols unmarked.

    A CSV file has one line a number, in the form of a run's own results.csv; needed are kind, task, backbone, metric
    and value. A JSON file has a list of such lines, or whole results.

    Example:

    \b
    naswild results add runs/mini theirs.csv
    """
    from benchmarks.merge import add_reported

    for file in files:
        merged = add_reported(into, file)
        typer.echo(f"{file}: {merged.added} added, {merged.known} known already")


@app.command("merge")
def merge(
    into: Annotated[Path, typer.Argument(help="Run directory that gets them.")],
    sources: Annotated[list[Path], typer.Argument(help="Run directories that they come from.")],
) -> None:
    """Merge the results of other run directories into one; contradicting results are refused.

    Run the suite afterwards: it loads what came in, and its tables show all seeds.

    Example:

    \b
    naswild results merge runs/mini ~/from-other-machine/runs/mini
    """
    from benchmarks.merge import merge_results

    for source in sources:
        merged = merge_results(into, source)
        typer.echo(f"{source}: {merged.added} added, {merged.known} known already")


def _ranks(folder: Path, alone: str) -> Table:
    """The table of ranks of a run; NaswildError where there is nothing to rank, or one backbone was named alone."""
    from benchmarks.publish import current_results
    from benchmarks.tables.measurements import Measurements
    from benchmarks.tables.ranks import rank_table
    from nas.errors import NaswildError

    if alone:
        raise NaswildError(f"{alone} alone cannot be compared; name two backbones, or none to rank all of them")
    table = rank_table(Measurements(current_results(folder), allow_mixed=True))
    if table is None:
        raise NaswildError(f"{folder}: ranks need three backbones that were measured on the same two data sets or more")
    return table
