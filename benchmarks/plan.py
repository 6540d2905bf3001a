"""The plan: a graph of jobs, each known by a key that is a hash of all that decides its result.

    data ----------------------+----------------+
    search -> classify (retrain, saves weights) -> detect, reid, ...

A job that reads another's output has that job's key inside its own, so a change of a protocol, a seed or the data gives
new keys to everything downstream, and to nothing else. Suites are unfolded into plans in :mod:`benchmarks.planner`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from benchmarks.protocol import Protocol
from benchmarks.suite import Suite
from benchmarks.tasks import DataSource, Subject
from benchmarks.yamlfile import Document
from nas.errors import NaswildError, unknown

SEARCH, DATA = "search", "data"


@dataclass(frozen=True)
class Job:
    """One unit of work; ``name`` is readable, ends in ``key``, and names its folder and its result file."""

    key: str
    name: str
    kind: str  # "data", "search", or the name of a task
    title: str  # for people: "detect digits-coco darts_v2"
    needs: tuple[str, ...] = ()  # keys of the jobs that must be done first
    upstream: str | None = None  # the one of them that gives the genotype or the weights
    cell: str = "final"  # which genotype of the search upstream, where there is one
    subject: Subject | None = None
    protocol: Protocol | None = None
    data: DataSource | None = None
    maker: str | None = None  # of a data job
    target: str = ""  # Result.task
    options: Mapping[str, int | str] = field(default_factory=dict)
    variant: Mapping[str, int | str] = field(default_factory=dict)  # Result.variant
    seed: int = 0
    backbone_seed: str = ""  # mixed into the seed of a training, so that two backbones draw apart; "": they share it
    processes: int = 1  # that share the job, each on a device of its own
    seconds: float = 1.0  # estimate


@dataclass(frozen=True)
class Plan:
    """All jobs of a suite; dependencies before the jobs that need them."""

    suite: Suite
    document: Document  # where the suite was read from
    run_dir: Path
    jobs: tuple[Job, ...]

    def __post_init__(self) -> None:
        titles: dict[str, str] = {}
        for job in self.jobs:
            if job.key in titles:
                raise NaswildError(f"suite {self.suite.name!r}: {titles[job.key]!r} and {job.title!r} are the same job")
            titles[job.key] = job.title

    @cached_property
    def by_key(self) -> dict[str, Job]:
        """The jobs by their keys."""
        return {job.key: job for job in self.jobs}

    def only(self, patterns: Sequence[str]) -> Plan:
        """The jobs whose name or title contains one of ``patterns``, and everything these need.

        Raises:
            UnknownName: a pattern that fits nothing; with near matches.
        """
        if not patterns:
            return self
        chosen: set[str] = set()
        for pattern in patterns:
            hits = {job.key for job in self.jobs if pattern in job.name or pattern in job.title}
            if not hits:
                words = {word for job in self.jobs for word in (job.kind, job.name, *job.title.split())}
                raise unknown("job", pattern, words)
            chosen |= hits
        for job in reversed(self.jobs):
            if job.key in chosen:
                chosen.update(job.needs)
        return replace(self, jobs=tuple(job for job in self.jobs if job.key in chosen))

    @cached_property
    def chains(self) -> dict[str, float]:
        """For each job the estimated seconds from its start to the end of the last job that waits for it."""
        length = {job.key: job.seconds for job in self.jobs}
        for job in reversed(self.jobs):
            for needed in job.needs:
                length[needed] = max(length[needed], self.by_key[needed].seconds + length[job.key])
        return length
