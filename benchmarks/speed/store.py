"""Whether planning, loading, listing and printing stay quick when there are many results.

    python -m benchmarks.speed.store                      # a suite of 2,000 results, then a store of 100,000
    python -m benchmarks.speed.store --many 0             # the suite alone, some seconds

The results are made up: every job of a suite of 60 random cells, three kinds of task and three seeds has random scores.
Wall-clock seconds of one process, nothing cached.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import rundir
from benchmarks.plan import DATA, SEARCH, Job, Plan
from benchmarks.planner import make_plan
from benchmarks.store import Backbone, Cost, Metric, Provenance, Result, load_results, results_dir
from benchmarks.suite import Suite
from benchmarks.tasks import get_task
from benchmarks.yamlfile import Document, validate

CELLS, SEEDS = 60, (0, 1, 2)
SUITE = {
    "name": "many",
    "backbones": [{"random": CELLS}],
    "tasks": [
        {"task": "classify", "data": "digits"},
        {"task": "detect", "data": "coco"},
        {"task": "reid", "data": "people", "set": ["market1501", "dukemtmcreid", "msmt17"], "parts": [1, 3, 6]},
    ],
    "protocols": {"search": "search-mini", "retrain": "retrain-mini", "detect": "detect-mini", "reid": "reid-mini"},
    "seeds": list(SEEDS),
    "data": {"coco": {"made": "digits-coco"}, "people": {"made": "reid"}},
}


def plan(run_dir: Path) -> Plan:
    """The plan of the suite."""
    document = Document(Path("suite"), SUITE, {})
    return make_plan(validate(Suite, document), document, run_dir)


def made_up(job: Job, genotype: dict[str, Any]) -> Result:
    """A result of ``job`` with random scores; the same job always gets the same ones."""
    draw = random.Random(job.key)
    assert job.subject is not None and job.protocol is not None and job.data is not None
    metrics = {} if job.kind == SEARCH else get_task(job.kind).metrics
    return Result(
        key=job.key,
        suite="many",
        job=job.name,
        kind=job.kind,
        task=job.target,
        variant=dict(job.variant),
        backbone=Backbone(
            name=job.subject.name,
            kind="random",
            method="random",
            genotype=genotype,
            parameters=40_000 + draw.randrange(20_000),
            macs=2_000_000 + draw.randrange(1_000_000),
            input_size=[32, 32],
            search_seed=job.subject.search_seed,
        ),
        protocol=job.protocol.name,
        protocol_hash=job.protocol.hash,
        protocol_version=job.protocol.version,
        seed=job.seed,
        metrics={name: Metric(value=draw.uniform(0.2, 0.9), chance=0.01) for name in metrics},
        cost=Cost(seconds=draw.uniform(5, 50), device="cpu"),
        details={"history": [{"epoch": epoch, "train_loss": draw.random()} for epoch in range(20)]},
        provenance=Provenance(
            versions={}, machine="none", data=job.data.name, data_version=job.data.version, split="test", created="now"
        ),
    )


def fill(run_dir: Path, many: Plan) -> int:
    """Write a result for every job that gives one; returns how many."""
    from nas.search import random_genotype

    results_dir(run_dir).mkdir(parents=True)
    written = 0
    for job in many.jobs:
        if job.kind == DATA or job.subject is None:
            continue
        genotype = random_genotype(job.subject.search_seed or 0).to_dict()
        (results_dir(run_dir) / f"{job.name}.json").write_text(made_up(job, genotype).model_dump_json(indent=1))
        written += 1
    return written


def multiply(run_dir: Path, count: int) -> None:
    """Copies of the results under other names, until there are ``count``."""
    folder = results_dir(run_dir)
    originals = [(path.stem, path.read_text()) for path in sorted(folder.iterdir())]
    for number in range(len(originals), count):
        name, text = originals[number % len(originals)]
        (folder / f"{name}x{number}.json").write_text(text)


def timed(what: str, task: Callable[[], Any]) -> Any:
    """The value of ``task``, after its time is printed."""
    start = time.perf_counter()
    value = task()
    print(f"{what:58} {time.perf_counter() - start:6.2f} s", flush=True)
    return value


def measure(run_dir: Path, many: int) -> None:
    """Fill a run directory and time what people do with it."""
    from benchmarks.render import FORMATS, render
    from benchmarks.tables.build import build_tables

    print(f"{fill(run_dir, plan(run_dir)):,} results")

    def plan_and_load() -> list[Result]:
        return [result for result in rundir.load_done(plan(run_dir)).values() if result is not None]

    results = timed("plan the suite and load what is done", plan_and_load)
    tables = timed("build all tables", lambda: build_tables(results))
    timed(f"render them as {', '.join(FORMATS)}", lambda: [render(tables, name) for name in FORMATS])
    if many:
        multiply(run_dir, many)
        print(f"{many:,} results")
        timed("list those of one task and backbone", lambda: list(_listed(run_dir, "msmt17-parts3-random-7-")))


def _listed(run_dir: Path, text: str) -> Iterator[str]:
    from benchmarks.live import headline

    for result in load_results(run_dir, holding=text):
        yield f"{result.job} {headline(result.metrics)}"


def main() -> None:
    """Parse the options and measure in a folder that is deleted afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", type=int, default=100_000)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        measure(Path(folder), options.many)


if __name__ == "__main__":
    main()
