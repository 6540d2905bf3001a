"""``naswild results``: the results of a run, one by one."""

from __future__ import annotations

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
