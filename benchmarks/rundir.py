"""Where things are in a run directory, and in which state a job is: done, failed, or still to do.

runs/<suite>/results/<job>.json   the result of a finished job
             jobs/<job>/          log.txt, lock, checkpoints; failed.json if its last attempt raised an error
             data/<name>-<hash>/  data that the suite makes
             genotypes/ weights/  what searches and trainings leave for others
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plan import DATA, Job, Plan
from benchmarks.store import Result, StoreError, read_result, results_dir
from nas.files import atomic_write

log = logging.getLogger(__name__)


class JobBusy(Exception):
    """Another process is at this job."""


@dataclass(frozen=True)
class Failure:
    """Why a job's last attempt ended."""

    message: str


def workdir(run_dir: Path, job: Job) -> Path:
    """Folder of a job's log and checkpoints."""
    return run_dir / "jobs" / job.name


def log_path(run_dir: Path, job: Job) -> Path:
    """What the job printed."""
    return workdir(run_dir, job) / "log.txt"


def log_tail(run_dir: Path, job: Job, lines: int = 12) -> str:
    """The last lines of a job's log."""
    path = log_path(run_dir, job)
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").rstrip().splitlines()[-lines:])


def result_path(run_dir: Path, job: Job) -> Path:
    """The file that a finished job leaves."""
    return results_dir(run_dir) / f"{job.name}.json"


def load_done(plan: Plan) -> dict[str, Result | None]:
    """Key -> result of every finished job of a plan (None for data, which has no result).

    A damaged result is reported and counts as not done; so does one whose weights or genotype are gone.
    """
    done: dict[str, Result | None] = {}
    for job in plan.jobs:
        if job.kind == DATA:
            if job.data is not None and job.data.root is not None and job.data.root.is_dir():
                done[job.key] = None
        elif (result := load_result(plan.run_dir, job)) is not None:
            done[job.key] = result
    return done


def load_result(run_dir: Path, job: Job) -> Result | None:
    """The result of a job, if it has finished and what it left is still there."""
    path = result_path(run_dir, job)
    if not path.exists():
        return None
    try:
        result = read_result(path)
    except StoreError as error:
        log.warning("%s; running the job again", str(error).partition(";")[0])
        return None
    lost = [name for name in result.artifacts.values() if not (run_dir / name).exists()]
    if lost:
        log.warning("%s is gone; running %s again", run_dir / lost[0], job.title)
        return None
    return result


def is_done(run_dir: Path, job: Job) -> bool:
    """Whether a job has finished by now."""
    if job.kind == DATA:
        return job.data is not None and job.data.root is not None and job.data.root.is_dir()
    return load_result(run_dir, job) is not None


def failures(plan: Plan) -> dict[str, Failure]:
    """Key -> failure of every job of a plan whose last attempt raised an error."""
    found = {}
    for job in plan.jobs:
        path = _failure_path(plan.run_dir, job)
        if path.exists():
            found[job.key] = Failure(json.loads(path.read_text())["message"])
    return found


def record_failure(run_dir: Path, job: Job, message: str) -> None:
    """Remember that a job failed, so that the next run shows it instead of failing again."""
    atomic_write(_failure_path(run_dir, job), json.dumps({"message": message}, indent=1).encode())


def forget_failure(run_dir: Path, job: Job) -> None:
    """The next attempt of a job begins."""
    _failure_path(run_dir, job).unlink(missing_ok=True)


def _failure_path(run_dir: Path, job: Job) -> Path:
    return workdir(run_dir, job) / "failed.json"


def start_over(run_dir: Path, jobs: Iterable[Job]) -> None:
    """Forget results, checkpoints and failures of ``jobs``; those that another run is at are left to it."""
    for job in jobs:
        try:
            with locked(run_dir, job):
                result_path(run_dir, job).unlink(missing_ok=True)
                if job.kind == DATA and job.data is not None and job.data.root is not None:
                    shutil.rmtree(job.data.root, ignore_errors=True)
                for path in workdir(run_dir, job).iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif path.name != "lock":
                        path.unlink()
        except JobBusy:
            log.warning("%s is being run by another process; leaving it alone", job.title)


@contextmanager
def locked(run_dir: Path, job: Job) -> Iterator[None]:
    """Hold a job's lock; raises :class:`JobBusy` if another process has it. When the holder dies, the lock is free."""
    folder = workdir(run_dir, job)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobBusy(job.title) from None
        yield
    finally:
        os.close(handle)


def is_locked(run_dir: Path, job: Job) -> bool:
    """Whether some process is at a job now."""
    try:
        with locked(run_dir, job):
            return False
    except JobBusy:
        return True
