"""What a task is: a name, the metrics it yields, the options it takes, and one function that runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.items import Resampled
from benchmarks.store import Metric
from nas.progress import Report, silent


@dataclass(frozen=True)
class Subject:
    """The backbone that a job is about.

    ``source`` is what :func:`backbones.build_backbone` takes: the weights file that the job's upstream left, else a zoo
    name, a genotype or weights file, ``timm:NAME`` or ``torchreid:NAME``. None for a search, which is about to find it.
    """

    name: str
    kind: str  # searched, random, published, timm, torchreid, file
    source: str | None = None
    method: str | None = None
    search_seed: int | None = None
    genotype: Mapping[str, Any] | None = None  # Genotype.to_dict() of a cell, when it is known


@dataclass(frozen=True)
class DataSource:
    """The data of a job: ``root`` is the folder of a made set or of the user's copy, ``proxy`` a classification set."""

    name: str
    version: str  # what the plan knows about the content; a task may report a finer hash in its outcome
    root: Path | None = None
    proxy: str | None = None
    made: bool = False  # by the suite, so that it may not be there yet; its options are then the maker's
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """Everything that :meth:`Task.run` gets."""

    job: str
    subject: Subject
    recipe: Any  # an instance of the task's recipe model, or the plain mapping if the task names none
    data: DataSource
    seed: int
    run_dir: Path
    workdir: Path  # jobs/<job>: checkpoints go here; a job that was killed finds them again
    options: Mapping[str, int | str] = field(default_factory=dict)
    processes: int = 1  # that share the job, each on a device of its own
    protocol_hash: str = ""
    report: Report = silent


@dataclass(frozen=True)
class Outcome:
    """What :meth:`Task.run` gives back; the harness adds names, hashes and provenance and stores it."""

    metrics: Mapping[str, Metric]
    seconds: float  # of all attempts
    split: str
    attempts: int = 1
    data_version: str | None = None
    device: str = "cpu"
    images_per_second: float | None = None
    peak_memory_bytes: int | None = None
    parameters: int | None = None  # of the backbone
    macs: int | None = None  # multiply-adds of the backbone at ``input_size``
    input_size: tuple[int, int] | None = None  # height, width
    genotype: Mapping[str, Any] | None = None  # what a search found
    details: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Path] = field(default_factory=dict)  # files inside the run directory
    # Metric -> one number per image or query, in the order of the data; the metric is their mean. See benchmarks.items.
    per_item: Mapping[str, Sequence[float]] = field(default_factory=dict)
    item_groups: Sequence[int] = ()  # for each of these items what it shares with others: the person of a query
    resampled: Resampled | None = None  # the same for metrics that are not means


class Task(ABC):
    """Base of all tasks.

    Importing a task's module must not import torch: planning and loading results do without it.
    """

    name: ClassVar[str]  # what ``task:`` in a suite says
    stage: ClassVar[str]  # the protocols it reads, e.g. "detect"
    recipe: ClassVar[str | None] = None  # "module:Model" that the protocol's recipe is validated by
    metrics: ClassVar[Mapping[str, bool]]  # name -> higher is better
    options: ClassVar[Mapping[str, type]] = {}  # what a suite may set; a list there multiplies the jobs
    required_options: ClassVar[frozenset[str]] = frozenset()
    kinds: ClassVar[frozenset[str]] = frozenset({"searched", "random", "published", "timm", "file"})  # of backbones
    pretrained: ClassVar[bool] = True  # starts from the weights of the suite's classify task
    preload: ClassVar[tuple[str, ...]] = ("torch",)  # modules worth importing once for all its jobs
    gives: ClassVar[str | None] = None  # the artifact that downstream jobs read: "genotype" or "weights"
    seconds: ClassVar[float] = 60.0  # rough time of a job whose protocol says nothing

    @abstractmethod
    def run(self, assignment: Assignment) -> Outcome:
        """Do the job, resuming from ``assignment.workdir`` whatever an earlier attempt left there."""

    def target(self, data: str, options: Mapping[str, int | str]) -> str:
        """``Result.task``, the heading of a table's columns: the data set, unless the options name it."""
        del options
        return data

    def variant(self, options: Mapping[str, int | str]) -> dict[str, int | str]:
        """``Result.variant``: the options that tell results of one target apart."""
        return dict(options)

    def processes(self, options: Mapping[str, int | str]) -> int:
        """How many processes share the job, each on a device of its own: the option of that name, for tasks with it."""
        return int(options.get("processes", 1))

    def missing(self, assignment: Assignment) -> list[str]:
        """What the user has to fix before the run, one sentence each; called in a worker."""
        del assignment
        return []

    def metric(self, name: str, value: float, chance: float | None = None) -> Metric:
        """A metric of this task with its direction filled in."""
        return Metric(value=value, chance=chance, higher_is_better=self.metrics[name])
