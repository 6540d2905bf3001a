"""The NAS best-practice checklist, filled from the records; what they do not tell stays blank.

Lindauer and Hutter, "Best Practices for Scientific Research on Neural Architecture Search", JMLR 21 (2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.report.plots import seconds
from benchmarks.report.provenance import computed
from benchmarks.store import Result
from benchmarks.tables.measurements import Measurements


@dataclass(frozen=True)
class Item:
    """One question; ``answer`` is "yes", "no", "partly" or "" where the records say nothing."""

    group: str
    question: str
    answer: str
    evidence: str


def checklist(measured: Measurements, results: Sequence[Result]) -> Iterator[Item]:
    """All items in the paper's order."""
    yield from _code(results)
    yield from _comparison(measured, results)
    yield from _details(measured, results)


def _code(results: Sequence[Result]) -> Iterator[Item]:
    group = "Releasing code"
    protocols = sorted({f"{r.protocol} v{r.protocol_version}" for r in results if r.protocol})
    commits = sorted({r.provenance.git for r in results if r.provenance.git})
    dirty = " (with local changes)" if any("dirty" in commit for commit in commits) else ""
    code = (
        ("yes", f"naswild, commit {', '.join(c[:12] for c in commits)}{dirty}")
        if commits
        else ("partly", "naswild, version of the release")
    )
    yield Item(group, "Code for the training pipeline used to evaluate the final architectures", *code)
    yield Item(group, "Code for the search space", *code)
    seeds = sorted({result.seed for result in results if result.kind != "search"})
    yield Item(
        group,
        "Hyperparameters used for the final evaluation pipeline, and random seeds",
        "yes",
        f"protocols {', '.join(protocols)}, printed below; seeds {', '.join(map(str, seeds))}",
    )
    searched = [r for r in results if r.kind == "search" and r.backbone.kind == "searched"]
    methods = sorted({r.backbone.method or "" for r in searched})
    yield Item(group, "Code for your NAS method", "yes" if searched else "", ", ".join(methods))
    found = sorted({f"{r.protocol} v{r.protocol_version}, seed {r.seed}" for r in searched})
    yield Item(group, "Hyperparameters for your NAS method, and random seeds", "yes" if found else "", "; ".join(found))


def _comparison(measured: Measurements, results: Sequence[Result]) -> Iterator[Item]:
    group = "Comparing methods"
    mixed = [str(task) for task in measured.tasks if len(measured.settings(task)) > 1]
    same = ("no", f"mixed: {', '.join(mixed)}") if mixed else ("yes", "one protocol, data version and split a column")
    yield Item(group, "Same data set, split, search space and training code for all methods compared", *same)
    yield Item(
        group, "Controlled for confounding factors (hardware, library versions, runtime)", *_confounders(results)
    )
    yield Item(group, "Ablation studies", "", "")
    yield Item(group, "Same evaluation protocol for all methods compared", *same)
    yield Item(group, "Compared performance over time", *_over_time(measured))
    random = {(r.backbone.name, r.backbone.search_seed) for r in measured.results if r.backbone.kind == "random"}
    yield Item(
        group, "Compared to random search", "yes" if random else "no", f"{len(random)} random cells" * bool(random)
    )
    yield Item(group, "Multiple runs, with the seeds reported", *_repeats(measured))
    yield Item(group, "Tabular or surrogate benchmarks for in-depth evaluation", "", "")


def _details(measured: Measurements, results: Sequence[Result]) -> Iterator[Item]:
    group = "Reporting details"
    yield Item(group, "How hyperparameters were tuned, and the time and resources this took", "", "")
    total = sum(result.cost.seconds for result in results)
    attempts = sum(result.cost.attempts for result in results)
    evidence = f"{seconds(total)} for search, retraining and evaluation in {attempts} attempts"
    complete = "yes" if measured.searches else "partly"
    yield Item(group, "Time of the entire end-to-end method, not only of the search", complete, evidence)
    yield Item(group, "All details of the experimental setup", "yes", "protocols, data versions and provenance below")


def _confounders(results: Sequence[Result]) -> tuple[str, str]:
    results = computed(results)
    machines = {(r.provenance.machine, r.cost.device) for r in results}
    versions = {tuple(sorted(r.provenance.versions.items())) for r in results}
    if len(machines) <= 1 and len(versions) <= 1:
        return "yes", "one machine, one set of library versions"
    return "partly", f"{len(machines)} machines or devices, {len(versions)} sets of library versions (see provenance)"


def _over_time(measured: Measurements) -> tuple[str, str]:
    tracked = [search for search in measured.searches if search.details.get("stages")]
    return ("partly", f"trajectories of {len(tracked)} search(es) below") if tracked else ("", "")


def _repeats(measured: Measurements) -> tuple[str, str]:
    training = {r.seed for r in measured.results}
    searches = {r.backbone.search_seed for r in measured.results if r.backbone.kind == "searched"} - {None}
    text = f"{len(searches)} search seed(s), {len(training)} training seed(s)"
    repeated = [len(searches) > 1, len(training) > 1]
    return ("yes" if all(repeated) else "partly" if any(repeated) else "no"), text
