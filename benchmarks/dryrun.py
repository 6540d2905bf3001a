"""``--dry-run``: what a run would do, how long that takes, and what it lacks, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from benchmarks import rundir
from benchmarks.engine import LocalEngine, default_slots
from benchmarks.live import duration, headline
from benchmarks.plan import Job, Plan
from benchmarks.preflight import find_missing
from benchmarks.schedule import Schedule
from benchmarks.store import Result
from benchmarks.worker import RunContext

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.run import Options


def show_plan(plan: Plan, options: Options, console: Console) -> None:
    """Print each job of a plan with its state, the time the rest is expected to take, and what is missing."""
    done = {} if options.overwrite == "always" else rundir.load_done(plan)
    failures = rundir.failures(plan) if options.overwrite == "never" else {}
    schedule = Schedule(plan, done, failures)
    for job in plan.jobs:
        if (result := done.get(job.key)) is not None:
            schedule.learn(job, result.cost.seconds)
    table = Table("job", "state", "expected", box=None, header_style="bold")
    for job in plan.jobs:
        if job.key in done:
            table.add_row(escape(job.title), "[green]done[/]", _numbers(done[job.key]))
        else:
            state = f"[red]failed: {escape(failures[job.key].message)}[/]" if job.key in failures else _state(plan, job)
            table.add_row(escape(job.title), state, duration(schedule.seconds(job)))
    console.print(table)
    slots = options.slots or default_slots()
    left = sum(job.key not in done for job in plan.jobs)
    expected = duration(schedule.remaining(slots))
    console.print(f"\n{left} of {len(plan.jobs)} jobs to run, about {expected} with {slots} at once", highlight=False)
    pending = [job for job in plan.jobs if job.key not in done]
    if pending:
        _show_missing(plan, pending, console)


def _numbers(result: Result | None) -> str:
    return headline(result.metrics) if result is not None else ""


def _state(plan: Plan, job: Job) -> str:
    return "begun" if rundir.log_path(plan.run_dir, job).exists() else "to run"


def _show_missing(plan: Plan, pending: list[Job], console: Console) -> None:
    context = RunContext(plan.suite.name, plan.run_dir, plan.suite.imports)
    missing = LocalEngine(context, slots=1).call(find_missing, pending, context)
    for sentence in missing:
        console.print(f"[yellow]missing:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    if not missing:
        console.print("nothing is missing", highlight=False)
