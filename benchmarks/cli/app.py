"""The commands of ``naswild``, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.cli import backbones, data, doctor, evaluate, results, run, single, suites, tables, zoo

HELP = """Does a searched cell still win on tasks it has never seen?

\b
naswild run mini     # the whole benchmark in miniature, in minutes
naswild table mini   # its tables again
naswild zoo list     # the published cells
naswild doctor       # what is installed, and what to do about what is missing
"""

app = typer.Typer(
    name="naswild",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"naswild {version('naswild')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


app.command("run")(run.run)
app.command("search")(single.search)
app.command("retrain")(single.retrain)
app.command("evaluate")(evaluate.evaluate)
app.command("swap")(backbones.swap)
app.command("convert")(backbones.convert)
app.command("export")(backbones.export)
app.command("table")(tables.table)
app.command("report")(tables.report)
app.add_typer(results.app, name="results")
app.add_typer(suites.app, name="suite")
app.add_typer(zoo.app, name="zoo")
app.add_typer(data.app, name="data")
app.command("doctor")(doctor.doctor)
