"""``naswild results``: the results of a run, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.options import console, find_run_dir
from benchmarks.cli.tables import Run

app = typer.Typer(help="List and show single results.", no_args_is_help=True)


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


@app.command("merge")
def merge(
    into: Annotated[Path, typer.Argument(help="Run directory that gets them.")],
    sources: Annotated[list[Path], typer.Argument(help="Run directories that they come from.")],
) -> None:
    """Bring the results of other run directories into one; results that contradict each other are refused.

    Run the suite afterwards: it loads what came in, and its tables show all seeds.

    Example:

    \b
    naswild results merge runs/mini ~/from-other-machine/runs/mini
    """
    from benchmarks.merge import merge_results

    for source in sources:
        merged = merge_results(into, source)
        typer.echo(f"{source}: {merged.added} added, {merged.known} known already")
