"""Which job comes next, and how long the rest will take. Pure bookkeeping: no process, no file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean

from benchmarks.plan import Job, Plan


class Schedule:
    """The states of a plan's jobs. Among those that may run, the one with the longest chain behind it comes first."""

    def __init__(self, plan: Plan, done: Iterable[str], failed: Iterable[str]) -> None:
        self._plan = plan
        self.done = set(done)
        self.failed = set(failed) - self.done
        self.running: dict[str, float] = {}  # key -> fraction done
        self.elsewhere: set[str] = set()  # jobs that another process is at
        self._measured: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._order = sorted(plan.jobs, key=lambda job: -plan.chains[job.key])

    def next(self) -> Job | None:
        """A job that may start now, or None."""
        for job in self._order:
            if self._state(job) == "waiting" and self.done.issuperset(job.needs):
                return job
        return None

    def _state(self, job: Job) -> str:
        for name in ("done", "failed", "running", "elsewhere"):
            if job.key in getattr(self, name):
                return name
        return "waiting"

    @property
    def blocked(self) -> list[Job]:
        """Jobs that cannot run because something they need has failed."""
        hopeless = set(self.failed)
        for job in self._plan.jobs:
            if job.key not in self.done and hopeless.intersection(job.needs):
                hopeless.add(job.key)
        return [job for job in self._plan.jobs if job.key in hopeless - self.failed]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or to wait for."""
        return not self.running and not self.elsewhere and self.next() is None

    def started(self, job: Job) -> None:
        """A process is at ``job``."""
        self.elsewhere.discard(job.key)
        self.running[job.key] = 0.0

    def progressed(self, job: Job, fraction: float) -> None:
        """``job`` is this far, 0 to 1."""
        self.running[job.key] = fraction

    def succeeded(self, job: Job, seconds: float | None = None) -> None:
        """``job`` is done; ``seconds`` teach the estimate what jobs of its kind take."""
        self._leave(job)
        self.done.add(job.key)
        if seconds is not None:
            self.learn(job, seconds)

    def gave_up(self, job: Job) -> None:
        """``job`` failed; what needs it is blocked."""
        self._leave(job)
        self.failed.add(job.key)

    def taken(self, job: Job) -> None:
        """Another process is at ``job``."""
        self._leave(job)
        self.elsewhere.add(job.key)

    def released(self, job: Job) -> None:
        """The other process has left ``job`` unfinished."""
        self._leave(job)

    def _leave(self, job: Job) -> None:
        self.running.pop(job.key, None)
        self.elsewhere.discard(job.key)

    def learn(self, job: Job, seconds: float) -> None:
        """Record that a job of this kind took ``seconds``."""
        self._measured[_sort(job)].append(seconds)

    def seconds(self, job: Job) -> float:
        """What ``job`` is expected to take: the mean of those measured of its sort, else the plan's estimate."""
        measured = self._measured.get(_sort(job))
        return fmean(measured) if measured else job.seconds

    def remaining(self, slots: int) -> float:
        """Expected seconds until everything is done with ``slots`` jobs at once."""
        hopeless = {job.key for job in self.blocked} | self.failed
        left: dict[str, float] = {}
        for job in self._plan.jobs:
            if job.key not in self.done and job.key not in hopeless:
                left[job.key] = self.seconds(job) * (1.0 - self.running.get(job.key, 0.0))
        return max(sum(left.values()) / slots, _longest(self._plan.jobs, left))


def _sort(job: Job) -> tuple[str, str]:
    return job.kind, job.protocol.hash if job.protocol is not None else job.target


def _longest(jobs: Iterable[Job], left: Mapping[str, float]) -> float:
    """Seconds of the longest chain of unfinished jobs."""
    ends: dict[str, float] = {}
    for job in jobs:
        if job.key in left:
            ends[job.key] = left[job.key] + max((ends.get(needed, 0.0) for needed in job.needs), default=0.0)
    return max(ends.values(), default=0.0)
