"""``--dry-run``: what a run would do, how long it would take, and what is missing, without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from benchmarks import memory, rundir
from benchmarks.engine import Engine
from benchmarks.live import duration, headline
from benchmarks.plan import Job, Plan
from benchmarks.preflight import find_missing
from benchmarks.protocol import GpuMemory
from benchmarks.run import Options, open_engine
from benchmarks.schedule import Schedule
from benchmarks.store import Result
from benchmarks.tasks.cards import fit
from benchmarks.worker import RunContext

if TYPE_CHECKING:
    from rich.console import Console


def show_plan(plan: Plan, options: Options, console: Console) -> None:
    """Print each job of a plan with its state, the time and the memory it is expected to take, and what is missing."""
    done = {} if options.overwrite == "always" else rundir.load_done(plan)
    failures = rundir.failures(plan) if options.overwrite == "never" else {}
    schedule = Schedule(plan, done, failures)
    for job in plan.jobs:
        if (result := done.get(job.key)) is not None:
            schedule.learn(job, result.cost.seconds)
    pending = [job for job in plan.jobs if job.key not in done]
    known = memory.measured(done.values())
    needs = {job.key: memory.needed(job, known) for job in pending if memory.uses_card(job)}
    table = Table("job", "state", "expected", "processes", "GPU memory", box=None, header_style="bold")
    for job in plan.jobs:
        if job.key in done:
            table.add_row(escape(job.title), "[green]done[/]", _numbers(done[job.key]), str(job.processes))
        else:
            state = f"[red]failed: {escape(failures[job.key].message)}[/]" if job.key in failures else _state(plan, job)
            expected = duration(schedule.seconds(job))
            table.add_row(escape(job.title), state, expected, str(job.processes), _memory(job, needs))
    console.print(table)
    context = RunContext(plan.suite.name, plan.run_dir, plan.suite.imports)
    engine = open_engine(options.engine, context, options.slots)
    try:
        expected = f"about {duration(schedule.remaining(engine.slots))} with {engine.slots} at once"
        console.print(f"\n{len(pending)} of {len(plan.jobs)} jobs to run, {expected}", highlight=False)
        if pending:
            cards = engine.call(memory.cards)
            _show_processes(pending, len(cards), console)
            _show_memory(pending, needs, cards, console)
            _show_missing(pending, context, engine, console)
    finally:
        engine.close()


def _numbers(result: Result | None) -> str:
    return headline(result.metrics) if result is not None else ""


def _state(plan: Plan, job: Job) -> str:
    return "begun" if rundir.log_path(plan.run_dir, job).exists() else "to run"


def _memory(job: Job, needs: Mapping[str, GpuMemory | None]) -> str:
    """``"14.5 GB"``, ``"unknown"``, or ``"none"`` for a job that always runs on the CPU."""
    if job.key not in needs:
        return "none"
    need = needs[job.key]
    each = " per GPU" if job.processes > 1 else ""
    return f"{need.gb:.1f} GB{each}" if need is not None else "unknown"


def _show_processes(pending: Sequence[Job], cards: int, console: Console) -> None:
    """Show how many processes run where fewer GPUs are available than requested."""
    for wanted in sorted({job.processes for job in pending}):
        if (here := fit(wanted, cards)) < wanted:
            text = f"jobs in {wanted} processes: {here} here, with the same batch ({cards} GPUs found)"
            console.print(text, highlight=False, soft_wrap=True)


def _show_memory(
    pending: Sequence[Job], needs: Mapping[str, GpuMemory | None], cards: Sequence[memory.Card], console: Console
) -> None:
    """Where the figures are from, a line for each protocol; the available GPUs, and what does not fit on them."""
    names = {job.protocol.name: needs[job.key] for job in pending if job.protocol is not None and job.key in needs}
    for name, need in sorted(names.items()):
        text = f"{need.gb:.1f} GB ({need.source})" if need is not None else "unknown, not measured"
        console.print(f"GPU memory of {name}: {escape(text)}", highlight=False, soft_wrap=True)
    if names:
        found = ", ".join(f"{card.name} {card.gb:.1f} GB" for card in cards)
        console.print(f"GPUs: {escape(found) or 'none, jobs run on the CPU'}", highlight=False)
    for name, need in sorted(names.items()):
        if need is not None and memory.too_small(need, cards):
            largest = max(card.gb for card in cards)
            text = f"{need.gb:.1f} GB of GPU memory for {name}, the largest GPU has {largest:.1f} GB"
            console.print(f"[yellow]perhaps missing:[/] {escape(text)}", highlight=False, soft_wrap=True)


def _show_missing(pending: Sequence[Job], context: RunContext, engine: Engine, console: Console) -> None:
    missing = engine.call(find_missing, pending, context)
    for sentence in missing:
        console.print(f"[yellow]missing:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    if not missing:
        console.print("nothing is missing", highlight=False)
