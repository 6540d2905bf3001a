"""Person re-identification with a part-based head (PCB) on one of the three data sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.tasks.cards import fit
from benchmarks.tasks.task import Assignment, Outcome, Task
from nas.errors import NaswildError

if TYPE_CHECKING:
    from nas.progress import Report
    from reid.outcome import ReidOutcome


METRICS = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")
PER_QUERY = ("mAP", "rank1")  # kept for every query


class Reid(Task):
    """CMC and mAP of a set's queries; ``set`` names it, ``parts`` is the number of horizontal stripes.

    ``processes`` share one job, each on its own GPU (or CPU core).
    """

    name = "reid"
    stage = "reid"
    recipe = "reid.recipe:ReidRecipe"
    metrics: ClassVar[Mapping[str, bool]] = dict.fromkeys(METRICS, True)
    options: ClassVar[Mapping[str, type]] = {"set": str, "parts": int, "processes": int}
    required_options = frozenset({"set", "parts"})
    kinds = Task.kinds | {"torchreid"}
    preload = ("benchmarks.tasks.warm_reid",)

    def target(self, data: str, options: Mapping[str, int | str]) -> str:
        """The set, wherever its copy lies."""
        return str(options.get("set", data))

    def variant(self, options: Mapping[str, int | str]) -> dict[str, int | str]:
        """The number of parts."""
        return {name: value for name, value in options.items() if name == "parts"}

    def missing(self, assignment: Assignment) -> list[str]:
        """The extra; data that is neither made by the suite nor found at a root."""
        from backbones.torchreid_import import load_torchreid

        load_torchreid()
        if assignment.data.root is None:
            name = assignment.data.name
            return [f"data {name!r} is not declared: under data, give it a root, or {{made: reid}}"]
        return []

    def run(self, assignment: Assignment) -> Outcome:
        """Train PCB from the backbone's weights and rank the gallery."""
        if assignment.data.root is None:
            raise NaswildError(f"data {assignment.data.name!r} has no root")
        arguments = (
            assignment.subject.source,
            assignment.data.root,
            str(assignment.options["set"]),
            assignment.recipe,
        )
        options = {"parts": int(assignment.options["parts"]), "seed": assignment.seed, "workdir": assignment.workdir}
        work = partial(_run, arguments, options)
        processes = fit(assignment.processes)
        if processes == 1:
            found = work(assignment.report)
        else:
            from nas.launch import run_in_processes

            found = run_in_processes(work, processes=processes, report=assignment.report)
        return Outcome(
            metrics={name: self.metric(name, found.metrics[name], found.chance.get(name)) for name in self.metrics},
            seconds=found.seconds,
            attempts=found.attempts,
            split="query and gallery",
            data_version=found.data_version,
            device=found.device,
            images_per_second=found.images_per_second,
            peak_memory_bytes=found.peak_memory_bytes,
            parameters=found.backbone_parameters,
            macs=found.backbone_macs,
            input_size=found.input_size,
            details=_details(found),
            artifacts={
                name: path for name, path in (("picture", found.picture), ("pcb", found.weights)) if path is not None
            },
            per_item={name: found.per_query[name].tolist() for name in PER_QUERY},
            item_groups=found.query_persons.tolist(),
        )


def _run(arguments: tuple[Any, ...], options: Mapping[str, Any], report: Report) -> ReidOutcome:
    """The whole job in this process, or this process's part of it."""
    from reid.train import run_reid

    return run_reid(*arguments, report=report, **options)


def _details(found: ReidOutcome) -> dict[str, Any]:
    """What the tables and the report show besides the metrics."""
    return {
        "feature_dim": found.feature_dim,
        "part_dim": found.part_dim,
        "network_parameters": found.parameters,
        "network_macs": found.macs,
        "paper_macs": found.paper_macs,
        "queries": found.queries,
        "queries_without_match": found.queries_without_match,
        "intervals": _intervals(found),
        "data_title": found.data_title,
        "data_notes": list(found.data_notes),
        "data_is_published": found.data_is_published,
        "history": [dict(record) for record in found.history],
    }


def _intervals(found: ReidOutcome) -> dict[str, list[float]]:
    """The 95 % interval of each metric over the choice of persons."""
    from benchmarks.statistics import mean_interval

    persons = found.query_persons.tolist()
    intervals = {name: mean_interval(scores, "queries", persons) for name, scores in found.per_query.items()}
    return {name: [interval.low, interval.high] for name, interval in intervals.items() if interval is not None}
