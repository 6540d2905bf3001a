"""Running a suite: what is done is loaded, what is half done resumes, what failed is shown, the rest is run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console

from benchmarks import provenance, rundir
from benchmarks.engine import Engine, Event, LocalEngine, default_slots
from benchmarks.live import Display
from benchmarks.plan import Job, Plan
from benchmarks.planner import make_plan
from benchmarks.preflight import require_nothing_missing
from benchmarks.schedule import Schedule
from benchmarks.store import Result
from benchmarks.suite import Suite, load_suite
from benchmarks.tasks import get_task
from benchmarks.tasks.registry import import_extensions
from benchmarks.worker import RunContext
from benchmarks.yamlfile import Document

Overwrite = Literal["never", "failed", "always"]
POLL_SECONDS = 1.0  # how often the jobs of another run are looked at


@dataclass(frozen=True)
class Options:
    """How a suite is run; everything that changes numbers is in the suite instead."""

    only: tuple[str, ...] = ()  # parts of job names
    seeds: tuple[int, ...] | None = None  # instead of the suite's
    overwrite: Overwrite = "never"  # "failed": try failed jobs again; "always": start everything from scratch
    slots: int | None = None  # jobs at once; None: one per GPU of the engine, else one per CPU core
    imports: tuple[str, ...] = ()  # modules that register tasks, makers or methods
    scale: str | None = None  # one of the suite's scales instead of its full size
    engine: str = "local"  # or "ray"


@dataclass
class Summary:
    """How a run ended."""

    plan: Plan
    results: list[Result]
    loaded: int = 0
    ran: int = 0
    failed: list[tuple[Job, str]] = field(default_factory=list)
    blocked: list[Job] = field(default_factory=list)
    seconds: float = 0.0


def prepare(suite: str, options: Options, run_dir: Path | None = None) -> Plan:
    """The plan of a suite, given by name or path, in ``run_dir`` (``runs/<suite>`` by default)."""
    return plan_suite(*load_suite(suite, options.scale), options, run_dir)


def plan_suite(suite: Suite, document: Document, options: Options, run_dir: Path | None = None) -> Plan:
    """The plan of a suite that is loaded already."""
    imports = (*suite.imports, *options.imports)
    import_extensions(imports)
    changes = {"imports": imports} | ({"seeds": options.seeds} if options.seeds else {})
    suite = suite.model_copy(update=changes)
    return make_plan(suite, document, run_dir or Path("runs") / suite.name).only(options.only)


def run_plan(plan: Plan, options: Options, console: Console, command: str | None = None) -> Summary:
    """Run what a plan has left to run.

    Args:
        plan: From :func:`prepare`.
        options: See :class:`Options`.
        console: Where progress is shown.
        command: The command line that runs this plan, for the advice on failed jobs.

    Raises:
        NaswildError: something the run needs is missing (data, an extra, a name that no library knows).
        KeyboardInterrupt: after the running jobs have been stopped; a later run resumes them.
    """
    start = time.monotonic()
    _apply_overwrite(plan, options.overwrite)
    done = rundir.load_done(plan)
    failures = {} if options.overwrite != "never" else rundir.failures(plan)
    schedule = Schedule(plan, done, failures)
    for job in plan.jobs:
        if (result := done.get(job.key)) is not None:
            schedule.learn(job, result.cost.seconds)
    summary = Summary(plan, [], loaded=len(schedule.done))
    command = command or f"naswild run {plan.suite.name}"
    with Display(console, len(plan.jobs), len(schedule.done)) as display:
        session = _Session(plan, schedule, display, summary, command)
        for job in plan.jobs:
            if job.key in schedule.failed:
                session.show_failure(job, failures[job.key].message)
        if not schedule.finished:
            _run_rest(session, options)
    summary.results = [result for result in rundir.load_done(plan).values() if result is not None]
    summary.blocked = schedule.blocked
    summary.seconds = time.monotonic() - start
    return summary


def _apply_overwrite(plan: Plan, overwrite: Overwrite) -> None:
    if overwrite == "always":
        rundir.start_over(plan.run_dir, plan.jobs)


def _run_rest(session: _Session, options: Options) -> None:
    plan = session.plan
    pending = [job for job in plan.jobs if job.key not in session.schedule.done]
    context = RunContext(
        suite=plan.suite.name,
        run_dir=plan.run_dir,
        imports=plan.suite.imports,
        versions=provenance.versions(),
        git=provenance.git_state(),
        machine=provenance.machine(),
    )
    engine = open_engine(options.engine, context, options.slots, _preload(pending))
    try:
        require_nothing_missing(engine, pending, context)
        session.loop(engine)
    finally:
        engine.close()


def open_engine(name: str, context: RunContext, slots: int | None = None, preload: Iterable[str] = ()) -> Engine:
    """The engine called ``name``, "local" or "ray", with ``slots`` slots, by default as many as suit the machine."""
    if name == "local":
        return LocalEngine(context, slots or default_slots(), preload)
    from benchmarks.ray_engine import RayEngine

    return RayEngine(context, slots, preload)


def _preload(jobs: Sequence[Job]) -> list[str]:
    """The libraries that the server imports before it forks jobs."""
    modules = [module for job in jobs if job.subject is not None for module in get_task(job.kind).preload]
    return list(dict.fromkeys(modules))


class _Session:
    """One run in progress: hands ready jobs to the engine and processes their messages."""

    def __init__(self, plan: Plan, schedule: Schedule, display: Display, summary: Summary, command: str) -> None:
        self.plan = plan
        self.schedule = schedule
        self._display = display
        self._summary = summary
        self._command = command
        self._began: dict[str, float] = {}
        self._polled = 0.0

    def loop(self, engine: Engine) -> None:
        """Until nothing is left to run: fill the free slots, wait for something to happen, take it in."""
        while not self.schedule.finished:
            while engine.free and (job := self.schedule.next()) is not None:
                self.schedule.started(job)
                self._display.started(job)
                self._began[job.key] = time.monotonic()
                engine.start(job)
            for event in engine.events(timeout=0.5):
                self._take(event)
            self._look_elsewhere()
            self._display.remaining(self.schedule.remaining(engine.slots))

    def _take(self, event: Event) -> None:
        job, message = event.job, event.message
        if message.kind == "progress" and message.progress is not None:
            self.schedule.progressed(job, message.progress.fraction)
            self._display.progressed(job, message.progress)
        elif message.kind == "done":
            self._succeed(job)
        elif message.kind == "busy":
            self.schedule.taken(job)
            self._display.elsewhere(job)
        else:  # "failed" left a record that the next run shows; after "died" the next run resumes
            self.show_failure(job, message.text)

    def _succeed(self, job: Job) -> None:
        seconds = time.monotonic() - self._began.get(job.key, time.monotonic())
        self.schedule.succeeded(job, seconds)
        self._summary.ran += 1
        self._display.finished(job, rundir.load_result(self.plan.run_dir, job), seconds)

    def show_failure(self, job: Job, message: str) -> None:
        """A job has failed, now or in an earlier run."""
        self.schedule.gave_up(job)
        self._summary.failed.append((job, message))
        rerun = f"{self._command} --only {shlex.quote(job.name)} --overwrite failed"
        self._display.failed(job, message, rundir.log_tail(self.plan.run_dir, job), rerun)

    def _look_elsewhere(self) -> None:
        """Has another run finished the jobs it was at, or left them?"""
        if not self.schedule.elsewhere or time.monotonic() - self._polled < POLL_SECONDS:
            return
        self._polled = time.monotonic()
        for job in self.plan.jobs:
            if job.key in self.schedule.elsewhere:
                self._look_at(job)

    def _look_at(self, job: Job) -> None:
        if rundir.is_done(self.plan.run_dir, job):
            self._succeed(job)
        elif not rundir.is_locked(self.plan.run_dir, job):
            self.schedule.released(job)
