"""Unfolding a suite into its plan: searches, then trainings, then evaluations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.datasets import data_source, maker_seconds
from benchmarks.plan import DATA, SEARCH, Job, Plan
from benchmarks.protocol import Protocol, content_hash, load_protocol
from benchmarks.store import FORM
from benchmarks.subjects import Source, given_source
from benchmarks.suite import BackboneEntry, DataEntry, Search, Suite, TaskEntry
from benchmarks.tasks import DataSource, Subject, Task, get_task, task_names
from benchmarks.yamlfile import Document, Location
from nas.errors import NaswildError, UnknownName, unknown


def make_plan(suite: Suite, document: Document, run_dir: Path) -> Plan:
    """The plan of ``suite``; ``document`` is where it was read from, for errors that point at the line."""
    planner = _Planner(suite, document, run_dir)
    jobs = list(planner.unfold())
    return Plan(suite, document, run_dir, (*planner.data_jobs.values(), *jobs))


class _Planner:
    """Turns the entries of one suite into jobs; keeps the data jobs that come up on the way."""

    def __init__(self, suite: Suite, document: Document, run_dir: Path) -> None:
        self.suite = suite
        self.document = document
        self.run_dir = run_dir
        self.data_jobs: dict[str, Job] = {}
        self.protocols: dict[tuple[str, str, str | None], Protocol] = {}
        self.tasks = [self._task(index, entry) for index, entry in enumerate(suite.tasks)]

    def unfold(self) -> Iterator[Job]:
        """All jobs but those that make data."""
        sources = []
        searches: set[str] = set()  # several backbones may be cells of one search
        for index, entry in enumerate(self.suite.backbones):
            for source, search in self._sources(("backbones", index), entry):
                sources.append(source)
                if search is not None and search.key not in searches:
                    searches.add(search.key)
                    yield search
        self._check_names({source.subject.name for source in sources})
        first = self._pretraining()
        trained: dict[tuple[str, int], str] = {}  # (backbone, seed) -> key of the job with its weights
        for index in sorted(range(len(self.tasks)), key=lambda index: index != first):
            for source in sources:
                for job in self._task_jobs(index, source, trained):
                    if index == first:
                        trained[source.label, job.seed] = job.key
                    yield job

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _task(self, index: int, entry: TaskEntry) -> Task:
        if entry.task not in task_names():
            raise self.document.error(("tasks", index, "task"), str(unknown("task", entry.task, task_names())))
        task = get_task(entry.task)
        for name, values in entry.axes.items():
            where = ("tasks", index, name)
            if name not in task.options:
                known = (*task.options, *TaskEntry.model_fields)
                raise self.document.error(where, str(unknown(f"key or option of task {entry.task}", name, known)))
            if wrong := [value for value in values if not isinstance(value, task.options[name])]:
                raise self.document.error(where, f"expected {task.options[name].__name__}, got {wrong[0]!r}")
        if lacking := task.required_options - entry.axes.keys():
            raise self.document.error(("tasks", index), f"task {entry.task} needs {' and '.join(sorted(lacking))}")
        return task

    def _check_names(self, known: set[str]) -> None:
        """A task that is for some backbones only must name ones that there are."""
        for index, entry in enumerate(self.suite.tasks):
            for name in entry.backbones or ():
                if name not in known:
                    raise self.document.error(("tasks", index, "backbones"), str(unknown("backbone", name, known)))

    def _pretraining(self) -> int | None:
        """Index of the task whose weights the other tasks start from."""
        givers: dict[str, int] = {}
        for index, (entry, task) in enumerate(zip(self.suite.tasks, self.tasks, strict=True)):
            if task.gives == "weights":
                givers.setdefault(entry.data, index)
        wanted = self.suite.pretrain
        if wanted is None:
            return min(givers.values(), default=None)
        if wanted not in givers:
            raise self.document.error(("pretrain",), str(unknown("data of a classify task", wanted, givers)))
        return givers[wanted]

    def _task_jobs(self, index: int, source: Source, trained: Mapping[tuple[str, int], str]) -> Iterator[Job]:
        entry, task = self.suite.tasks[index], self.tasks[index]
        if task.gives == "weights" and "weights" in source.identity:
            return  # a weights file is taken as it is
        if source.subject.kind not in task.kinds:
            return  # torchreid's networks meet re-identification only
        if entry.backbones is not None and source.subject.name not in entry.backbones:
            return
        protocol = self._protocol(task, entry.protocol, ("tasks", index))
        data, made = self._data(entry.data, ("tasks", index, "data"))
        for seed in entry.seeds or self.suite.seeds:
            starts_from = trained.get((source.label, seed)) if task.pretrained and task.gives is None else None
            upstream = starts_from or source.search
            identity = {"job": starts_from} if starts_from is not None else source.identity
            backbone_seed = "" if self.suite.common_seeds else content_hash(source.identity)
            for values in product(*entry.axes.values()):
                options = dict(zip(entry.axes, values, strict=True))
                key = _key(task.name, identity, protocol, data, seed, options, backbone_seed)
                target = task.target(data.name, options)
                variant = task.variant(options) | ({FORM: entry.form} if entry.form else {})
                marks = [str(value) if name == FORM else f"{name}{value}" for name, value in variant.items()]
                words = [task.name, target, *marks, source.label]
                yield Job(
                    key=key,
                    name=_file_name([*words, f"s{seed}", key]),
                    kind=task.name,
                    title=" ".join(words) + (f" seed {seed}" if len(entry.seeds or self.suite.seeds) > 1 else ""),
                    needs=tuple(needed for needed in (made, upstream) if needed is not None),
                    upstream=upstream,
                    cell=source.cell if starts_from is None else "final",
                    subject=source.subject,
                    protocol=protocol,
                    data=data,
                    target=target,
                    options=options,
                    variant=variant,
                    seed=seed,
                    backbone_seed=backbone_seed,
                    processes=task.processes(options),
                    seconds=protocol.seconds or task.seconds,
                )

    # -- backbones -----------------------------------------------------------------------------------------------------

    def _sources(self, where: Location, entry: BackboneEntry) -> Iterator[tuple[Source, Job | None]]:
        if entry.search is not None:
            for seed in entry.search.seeds:
                yield self._searched(where, entry.name, entry.search, seed)
        elif entry.random is not None:
            protocol = self._protocol(get_task(SEARCH), None, where)
            for seed in range(entry.random):
                yield _random(entry.name or "random", seed, protocol)
        else:
            yield given_source(entry, self.document, where), None

    def _searched(self, where: Location, name: str | None, spec: Search, seed: int) -> tuple[Source, Job]:
        task = get_task(SEARCH)
        protocol = self._search_protocol(task, spec, (*where, SEARCH))
        data, made = self._data(spec.on, (*where, SEARCH, "on"))
        how = {"method": spec.method} | ({"processes": spec.processes} if spec.processes > 1 else {})
        key = _key(SEARCH, how, protocol, data, seed, {})
        method = Subject(f"{spec.method}@{spec.on}", "searched", method=spec.method, search_seed=seed)
        other = (
            spec.cell != "final"
        )  # the search itself goes by the method's name then: its cells have names of their own
        subject = replace(method, name=name or (f"{method.name} {spec.cell}" if other else method.name))
        found_by = method if other else subject
        label, search = (it.name if len(spec.seeds) == 1 else f"{it.name}.{seed}" for it in (subject, found_by))
        job = Job(
            key=key,
            name=_file_name([SEARCH, search, f"s{seed}", key]),
            kind=SEARCH,
            title=f"{SEARCH} {search}",
            needs=(made,) if made is not None else (),
            subject=found_by,
            protocol=protocol,
            data=data,
            target=data.name,
            seed=seed,
            processes=spec.processes,
            seconds=protocol.seconds or task.seconds,
        )
        identity = {"job": key} | ({"cell": spec.cell} if other else {})
        return Source(subject, label, identity, search=key, cell=spec.cell), job

    # -- what the entries refer to -------------------------------------------------------------------------------------

    def _search_protocol(self, task: Task, spec: Search, where: Location) -> Protocol:
        """The protocol laid over the recipe of the method; refused if it makes the method another one."""
        from nas.search.published import published_recipe, require_method

        try:
            base = published_recipe(spec.method)
        except UnknownName as error:
            raise self.document.error((*where, "method"), str(error)) from error
        protocol = self._protocol(task, spec.protocol, where, spec.method, base.model_dump())
        try:
            require_method(spec.method, protocol.recipe)
        except NaswildError as error:
            raise self.document.error((*where, "method"), f"protocol {protocol.name}: {error}") from error
        return protocol

    def _protocol(
        self,
        task: Task,
        override: str | None,
        where: Location,
        method: str | None = None,
        base: dict[str, Any] | None = None,
    ) -> Protocol:
        stage = task.stage
        name = override or self.suite.protocols.get(stage)
        if name is None:
            raise self.document.error(where, f"no protocol for stage {stage!r}; give one under protocols")
        if (stage, name, method) not in self.protocols:
            place = (*where, "protocol") if override else ("protocols", stage)
            try:
                self.protocols[stage, name, method] = load_protocol(name, stage, task.recipe, base)
            except NaswildError as error:
                raise self.document.error(place, str(error)) from error
        return self.protocols[stage, name, method]

    def _data(self, name: str, where: Location) -> tuple[DataSource, str | None]:
        """The data called ``name`` and the key of the job that makes it; a name not under ``data`` is a proxy's."""
        entry = self.suite.data.get(name) or DataEntry(proxy=name)
        try:
            source = data_source(name, entry, self.run_dir)
        except NaswildError as error:
            raise self.document.error(("data", name) if name in self.suite.data else where, str(error)) from error
        if entry.made is None:
            return source, None
        self.data_jobs[name] = Job(
            key=source.version,
            name=_file_name([DATA, name, source.version]),
            kind=DATA,
            title=f"make {name}",
            data=source,
            maker=entry.made,
            target=name,
            seed=entry.seed,
            seconds=maker_seconds(entry.made),
        )
        return source, source.version


def _random(name: str, seed: int, protocol: Protocol) -> tuple[Source, Job]:
    """A random cell of the search space, a function of its seed and of the protocol's restriction on skip-connects."""
    restriction = {name: protocol.recipe_dict.get(name) for name in ("max_skips", "exact_skips")}
    key = content_hash({"kind": SEARCH, "method": "random", "seed": seed, **restriction})
    subject = Subject(f"{name}-{seed}", "random", method="random", search_seed=seed)
    job = Job(
        key=key,
        name=_file_name([SEARCH, subject.name, key]),
        kind=SEARCH,
        title=f"{SEARCH} {subject.name}",
        subject=subject,
        protocol=protocol,
        data=DataSource("none", version="none"),
        target="none",
        seed=seed,
    )
    return Source(subject, subject.name, {"job": key}, search=key), job


def _key(
    kind: str,
    identity: Mapping[str, Any],
    protocol: Protocol,
    data: DataSource,
    seed: int,
    options: Mapping[str, int | str],
    backbone_seed: str = "",
) -> str:
    """Hash of all that decides the result of a job."""
    content = {"kind": kind, "backbone": dict(identity), "protocol": protocol.hash, "data": data.version}
    content |= {"backbone_seed": backbone_seed} if backbone_seed else {}
    return content_hash({**content, "seed": seed, "options": dict(options)})


def _file_name(words: Iterable[str]) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9@._]+", "-", word) for word in words)
