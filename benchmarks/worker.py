"""What happens inside the process of one job: lock, log, run the task, store the result.

The process is forked from a server that has the heavy libraries imported (:mod:`benchmarks.engine`). It tells its
parent its progress over a pipe and exits if the parent does, so that a killed run leaves no processes behind.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import provenance, rundir
from benchmarks.datasets import get_maker
from benchmarks.items import save_items
from benchmarks.own_packages import NAMES
from benchmarks.plan import DATA, Job
from benchmarks.store import Backbone, Cost, Provenance, Result, find_result, save_result
from benchmarks.tasks import Assignment, Outcome, Subject, get_task
from benchmarks.tasks.registry import import_extensions
from nas.errors import NaswildError
from nas.files import atomic_write
from nas.progress import Progress, Report

REPORT_SECONDS = 0.2  # progress is told at most this often


@dataclass(frozen=True)
class RunContext:
    """What all jobs of a run share."""

    suite: str
    run_dir: Path
    imports: tuple[str, ...] = ()
    versions: dict[str, str] | None = None  # None: those where the job runs
    git: str | None = None
    machine: str = ""  # empty: the one where the job runs
    folder: Path | None = None  # what relative paths start from; None: where the job's process is


@dataclass(frozen=True)
class Message:
    """What a job tells the run: ``kind`` is "progress", "done", "failed" or "busy"."""

    kind: str
    progress: Progress | None = None
    text: str = ""


def run_in_child(
    job: Job, context: RunContext, channel: Connection, lifeline: Connection, devices: str | None, threads: int
) -> None:
    """Entry point of a job's process; reports how it ended over ``channel``."""
    die_with_parent(lifeline)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    multiprocessing.set_start_method(None, force=True)  # libraries choose for their own workers, as in any process
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    if context.folder is not None:
        os.chdir(context.folder)
    try:
        with rundir.locked(context.run_dir, job):
            channel.send(_attempt(job, context, channel, threads))
    except rundir.JobBusy:
        channel.send(Message("busy"))


def die_with_parent(lifeline: Connection) -> None:
    """End this process the moment the other end of ``lifeline`` closes, which the system does when its holder dies."""

    def watch() -> None:
        try:
            lifeline.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _attempt(job: Job, context: RunContext, channel: Connection, threads: int) -> Message:
    """Run the job with its output in its log; an error becomes a message and a record on disk."""
    if rundir.is_done(context.run_dir, job):
        return Message("done")
    rundir.forget_failure(context.run_dir, job)
    with rundir.log_path(context.run_dir, job).open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _log_to_stdout()
    print(f"--- {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC  {job.title}  (process {os.getpid()})")
    start = time.perf_counter()
    try:
        import_extensions(context.imports)
        limit_threads(threads)
        run_job(job, context, _reporter(channel))
    except Exception as error:  # noqa: BLE001 - whatever a job raises is shown to the user and must not stop the others
        message = _explain(error)
        rundir.record_failure(context.run_dir, job, message)
        return Message("failed", text=message)
    print(f"--- done in {time.perf_counter() - start:.1f} s")
    return Message("done")


def _log_to_stdout() -> None:
    """Put what our packages log into the job's log, which libraries may set up otherwise for theirs."""
    for name in NAMES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logger.propagate = False


def _explain(error: Exception) -> str:
    """One message for the user; the log gets the traceback too, unless the error is the user's to fix."""
    if isinstance(error, NaswildError):
        print(f"error: {error}")
        return str(error)
    traceback.print_exc()
    return f"{type(error).__name__}: {error}"


def limit_threads(threads: int) -> None:
    """Use this many threads for arithmetic in this process."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


def _reporter(channel: Connection) -> Report:
    """Send progress to the parent a few times per second, and to the log once per epoch."""
    sent = 0.0

    def report(progress: Progress) -> None:
        nonlocal sent
        now = time.perf_counter()
        ends_epoch = progress.step == progress.steps
        if ends_epoch:
            print(f"{datetime.now():%H:%M:%S}  {describe(progress)}")
        if ends_epoch or now - sent >= REPORT_SECONDS:
            sent = now
            channel.send(Message("progress", progress=progress))

    return report


def describe(progress: Progress) -> str:
    """A loop at the end of an epoch: ``"stage 2: epoch 3/10, loss 0.412"``."""
    finished = min(progress.epoch + (progress.steps > 0), progress.epochs)
    values = "".join(f", {name} {value:.3g}" for name, value in progress.metrics.items())
    return f"{progress.stage}: epoch {finished}/{progress.epochs}{values}"


def run_job(job: Job, context: RunContext, report: Report) -> None:
    """Do one job and store what it gives: a folder of data, or a result with its artifacts."""
    if job.kind == DATA:
        _make_data(job)
        return
    assignment = make_assignment(job, context, report)
    outcome = get_task(job.kind).run(assignment)
    save_result(context.run_dir, _result(job, context, assignment, outcome))


def _make_data(job: Job) -> None:
    """Make the data beside its place and move it there when it is complete."""
    assert job.maker is not None
    assert job.data is not None
    assert job.data.root is not None
    partial = job.data.root.with_name(f".{job.data.root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    make: Callable[..., Any] = get_maker(job.maker)
    make(partial, seed=job.seed, **job.data.options)
    partial.rename(job.data.root)


def make_assignment(job: Job, context: RunContext, report: Report) -> Assignment:
    """What the task gets; the backbone is what the upstream job left, if there is one.

    Raises:
        NaswildError: the upstream job's result is not there.
    """
    assert job.subject is not None
    assert job.data is not None
    subject = job.subject
    if job.upstream is not None:
        subject = _from_upstream(job, subject, context.run_dir)
    return Assignment(
        job=job.name,
        subject=subject,
        recipe=job.protocol.recipe if job.protocol is not None else {},
        data=job.data,
        seed=training_seed(job),
        run_dir=context.run_dir,
        workdir=rundir.workdir(context.run_dir, job),
        options=job.options,
        processes=job.processes,
        protocol_hash=job.protocol.hash if job.protocol is not None else "",
        report=report,
    )


def training_seed(job: Job) -> int:
    """The seed of all that a job draws: that of the repetition, mixed with the backbone unless all share it."""
    if not job.backbone_seed:
        return job.seed
    from nas.seeding import derive_seed

    return derive_seed(job.seed, job.backbone_seed) % 2**31  # what third-party generators take


def _from_upstream(job: Job, subject: Subject, run_dir: Path) -> Subject:
    assert job.upstream is not None
    result = find_result(run_dir, job.upstream)
    if result is None:
        raise NaswildError(f"{job.title}: the job it builds on ({job.upstream}) has no result in {run_dir}")
    if job.cell != "final":
        return _other_cell(job, subject, result, run_dir)
    source = result.artifacts.get("weights") or result.artifacts.get("genotype")
    if source is None:
        raise NaswildError(f"{job.title}: the job it builds on ({result.job}) left neither weights nor a genotype")
    return replace(subject, source=str(run_dir / source), genotype=result.backbone.genotype)


def _other_cell(job: Job, subject: Subject, search: Result, run_dir: Path) -> Subject:
    """The backbone around another cell of a search than its own: a stage's, or one refined differently."""
    cells = json.loads((run_dir / search.artifacts["cells"]).read_text())
    if job.cell not in cells:
        raise NaswildError(f"{job.title}: {search.job} has no cell {job.cell!r}; it has {', '.join(cells)}")
    path = run_dir / "genotypes" / f"{job.name}.json"
    atomic_write(path, json.dumps(cells[job.cell], indent=1).encode())
    return replace(subject, source=str(path), genotype=cells[job.cell])


def _result(job: Job, context: RunContext, assignment: Assignment, outcome: Outcome) -> Result:
    subject, protocol = assignment.subject, job.protocol
    genotype = outcome.genotype if outcome.genotype is not None else subject.genotype
    artifacts = dict(outcome.artifacts) | save_items(
        context.run_dir, job.name, outcome.per_item, outcome.resampled, outcome.item_groups
    )
    recipe = {"recipe": protocol.recipe_dict} if protocol is not None else {}
    return Result(
        key=job.key,
        suite=context.suite,
        job=job.name,
        kind=job.kind,
        task=job.target,
        variant=dict(job.variant),
        backbone=Backbone(
            name=subject.name,
            kind=subject.kind,  # type: ignore[arg-type]  # pydantic checks it
            method=subject.method,
            genotype=dict(genotype) if genotype is not None else None,
            parameters=outcome.parameters,
            macs=outcome.macs,
            input_size=list(outcome.input_size) if outcome.input_size is not None else None,
            search_seed=subject.search_seed,
        ),
        protocol=protocol.name if protocol is not None else "",
        protocol_hash=protocol.hash if protocol is not None else "",
        protocol_version=protocol.version if protocol is not None else 0,
        seed=job.seed,
        metrics=dict(outcome.metrics),
        cost=Cost(
            seconds=outcome.seconds,
            attempts=outcome.attempts,
            device=outcome.device,
            peak_memory_bytes=outcome.peak_memory_bytes,
            images_per_second=outcome.images_per_second,
        ),
        details={**recipe, "common_seeds": not job.backbone_seed, **outcome.details},
        artifacts={name: str(Path(path).relative_to(context.run_dir)) for name, path in artifacts.items()},
        provenance=Provenance(
            versions=context.versions or provenance.versions(),
            git=context.git,
            machine=context.machine or provenance.machine(),
            data=job.data.name if job.data is not None else "",
            data_version=outcome.data_version or (job.data.version if job.data is not None else ""),
            split=outcome.split,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        ),
    )
