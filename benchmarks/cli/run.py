"""``naswild run``: run a suite, or show what it would run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchmarks.cli.options import Imports, RunDir, Slots, console, numbers

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.plan import Plan
    from benchmarks.run import Options, Summary


def run(
    suite: Annotated[str, typer.Argument(help="Name of a packaged suite, or a suite file.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="TEXT", help="Only jobs whose name holds this, and their needs."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="0,1,2", help="Seeds of training instead of the suite's.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option("--scale", metavar="NAME", help="Another size the suite describes, such as small."),
    ] = None,
    overwrite: Annotated[
        Literal["never", "failed", "always"],
        typer.Option("--overwrite", help="failed: repeat failed jobs; always: repeat all jobs from scratch."),
    ] = "never",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, how long, and what is missing.")
    ] = False,
    slots: Slots = None,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="Where jobs run: on this machine, or on a Ray cluster (RAY_ADDRESS)."),
    ] = "local",
    run_dir: RunDir = None,
    imports: Imports = None,
) -> None:
    """Run a suite: finished jobs are loaded, interrupted ones resume, failed ones are shown.

    Examples:

    \b
    naswild run mini
    naswild run mini --only darts_v2 --seeds 0,1,2
    naswild run paper-table1 --scale small
    naswild run my-suite.yaml --import my_module --dry-run
    """
    from benchmarks.run import Options, prepare

    options = Options(
        only=tuple(only or ()),
        seeds=numbers(seeds) if seeds else None,
        overwrite=overwrite,
        slots=slots,
        imports=tuple(imports or ()),
        scale=scale,
        engine=engine,
    )
    plan = prepare(suite, options, run_dir)
    if dry_run:
        from benchmarks.dryrun import show_plan

        show_plan(plan, options, console())
        return
    _carry_out(plan, options, _command(suite, options, seeds, run_dir))


def _carry_out(plan: Plan, options: Options, command: str) -> None:
    """Run the plan; Ctrl-C stops it and prints the command that resumes it."""
    from benchmarks.run import run_plan

    screen = console()
    try:
        summary = run_plan(plan, options, screen, command)
    except KeyboardInterrupt:
        only = "".join(f" --only {shlex.quote(text)}" for text in options.only)
        sys.stderr.write(f"\nstopped; resume with: {command}{only}\n")
        raise typer.Exit(130) from None
    finish(summary, screen)


def _command(suite: str, options: Options, seeds: str | None, run_dir: Path | None) -> str:
    """The command line that runs the same suite again."""
    words = ["naswild", "run", suite]
    words += ["--scale", options.scale] if options.scale else []
    words += ["--seeds", seeds] if seeds else []
    words += ["--engine", options.engine] if options.engine != "local" else []
    words += ["--run-dir", str(run_dir)] if run_dir else []
    words += [word for module in options.imports for word in ("--import", module)]
    return shlex.join(words)


def finish(summary: Summary, screen: Console) -> None:
    """Tables on the screen, the paths of the files, one line of summary; exit code 1 if anything failed."""
    from benchmarks.live import duration
    from benchmarks.publish import publish

    paths = publish(summary.plan, screen)
    failed, blocked = len(summary.failed), len(summary.blocked)
    counts = f"{len(summary.plan.jobs)} jobs: {summary.loaded} loaded, {summary.ran} run"
    counts += f", [red]{failed} failed[/], {blocked} waiting for those" if failed else ""
    screen.print(f"\n[bold]{summary.plan.suite.name}[/]  {counts}; {duration(summary.seconds)}", highlight=False)
    for path in paths:
        screen.print(f"  {path}", highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)
