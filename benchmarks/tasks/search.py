"""Finding a cell: runs a search method on a proxy, or draws a random cell, and leaves a genotype file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.tasks.cards import fit
from benchmarks.tasks.proxy import open_proxy, require_readable
from benchmarks.tasks.task import Assignment, Outcome, Task
from nas.files import atomic_write

if TYPE_CHECKING:
    from nas.genotype import Genotype
    from nas.search.outcome import SearchOutcome

MOBILE_SIZE = (224, 224)  # a search reports its cell's size in the mobile setting: 48 channels, 14 cells, 224 pixels


class Search(Task):
    """Gives the genotype that downstream jobs build networks of; its trajectory is in the details."""

    name = "search"
    stage = "search"
    recipe = "nas.search.recipe:SearchRecipe"
    metrics: ClassVar[Mapping[str, bool]] = {}
    preload = ("torch", "sklearn.datasets", "nas.search.methods", "nas.search.pdarts", "nas.search.darts")
    gives = "genotype"

    def missing(self, assignment: Assignment) -> list[str]:
        """Unknown methods and unreadable proxies."""
        from nas.search import method_names

        method = assignment.subject.method
        if method == "random":
            return []
        if method not in method_names():
            from nas.errors import unknown

            return [str(unknown("search method", str(method), method_names()))]
        require_readable(assignment.data)
        return []

    def run(self, assignment: Assignment) -> Outcome:
        """Search, or draw; the seed decides everything."""
        if assignment.subject.method == "random":
            return self._draw(assignment)
        found = _search(assignment)
        plain = found.model_dump(mode="json")
        return self._leave(
            assignment,
            found.genotype,
            seconds=found.seconds,
            attempts=found.attempts,
            split="train, in two halves",
            data_version=found.proxy_version,
            device=found.device,
            peak_memory_bytes=found.peak_memory_bytes,
            parameters=found.parameters,
            macs=found.macs,
            input_size=MOBILE_SIZE,
            details={name: plain[name] for name in ("stages", "collapse", "within_budget", "classes", "parts")},
            cells=_cells(found),
        )

    def _draw(self, assignment: Assignment) -> Outcome:
        from nas.search import random_genotype

        restriction = assignment.recipe
        genotype = random_genotype(assignment.seed, restriction.max_skips, restriction.exact_skips)
        return self._leave(assignment, genotype, seconds=0.0, split="none")

    def _leave(
        self, assignment: Assignment, genotype: Genotype, cells: Mapping[str, Any] | None = None, **outcome: Any
    ) -> Outcome:
        path = assignment.run_dir / "genotypes" / f"{assignment.job}.json"
        genotype.save(path)
        artifacts = {"genotype": path}
        if cells:
            artifacts["cells"] = path.with_suffix(".cells.json")
            atomic_write(artifacts["cells"], json.dumps(cells, indent=1).encode())
        return Outcome(metrics={}, genotype=genotype.to_dict(), artifacts=artifacts, **outcome)


def _search(assignment: Assignment) -> SearchOutcome:
    """The search, in this process or in several that share it; its outcome is also in the job's ``search.json``."""
    method = str(assignment.subject.method)
    options: dict[str, Any] = {
        "seed": assignment.seed,
        "workdir": assignment.workdir,
        "report": assignment.report,
        "protocol_hash": assignment.protocol_hash,
    }
    processes = fit(assignment.processes)
    if processes < assignment.processes:  # fewer processes compute the same parts of a batch, in turn
        from nas.search import SearchExecution

        options["execution"] = SearchExecution(accumulate=assignment.processes // processes)
    if processes == 1:
        from nas.search import search

        return search(method, open_proxy(assignment.data), assignment.recipe, **options)
    from nas.search import search_in_processes

    load = partial(open_proxy, assignment.data)
    return search_in_processes(method, load, assignment.recipe, processes=processes, **options)


def _cells(found: SearchOutcome) -> dict[str, Any]:
    """The cells of a search besides its own, by the names that a suite's ``cell:`` knows them by."""
    last = found.stages[-1].alternatives if found.stages else {}
    cells = {f"stage{number}": stage.genotype for number, stage in enumerate(found.stages, 1)}
    cells |= {f"skips{limit}": genotype for limit, genotype in last.items()}
    if last:
        cells["unrefined"] = last[max(last)]
    return {name: genotype.to_dict() for name, genotype in cells.items()}
