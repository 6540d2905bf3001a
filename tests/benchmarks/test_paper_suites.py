"""The paper's suites: each plans at its full size and at its small scale, and its header says what it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backbones.baselines import BASELINES
from benchmarks.datasets import MISSING, explain_missing
from benchmarks.plan import Plan
from benchmarks.preflight import find_missing
from benchmarks.run import Options, prepare
from benchmarks.suite import FOLDER, load_suite, suite_names
from benchmarks.worker import RunContext
from nas.errors import UnknownName

PAPER = [name for name in suite_names() if name.startswith("paper-")]
# Searches and trainings at the paper's size, by hand from its tables and ablations.
JOBS = {
    "paper-table1": {"search": 4 + 10, "classify": 2 * 24 + 4},
    "paper-table2": {"search": 3},
    "paper-table3": {"search": 1 + 3, "classify": 17},
    "paper-table4": {"search": 1 + 3, "classify": 6, "detect": 12},
    "paper-table5": {"search": 1 + 3, "classify": 7, "reid": 63},
    "paper-depth": {"search": 1, "classify": 4},
    "paper-approximation": {"search": 6, "classify": 6},
    "paper-regularization": {"search": 3 + 1 + 1 + 1, "classify": 16},
}


def plan(name: str, tmp_path: Path, scale: str | None = None) -> Plan:
    return prepare(name, Options(scale=scale), tmp_path / "run")


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NASWILD_DATA", raising=False)


def test_all_tables_and_ablations_have_a_suite() -> None:
    assert sorted(PAPER) == sorted(JOBS)


@pytest.mark.parametrize("name", PAPER)
def test_jobs_at_the_papers_size(name: str, tmp_path: Path) -> None:
    jobs = plan(name, tmp_path).jobs
    assert {kind: sum(job.kind == kind for job in jobs) for kind in JOBS[name]} == JOBS[name]
    assert sum(job.seconds for job in jobs) > 3600  # an estimate is there for every stage


def test_table_3_trains_every_network_of_the_paper_that_is_named_as_a_backbone(tmp_path: Path) -> None:
    """NASNet-A and PNAS by their cells, since timm has only the large networks."""
    trained = {job.subject.source for job in plan("paper-table3", tmp_path).jobs if job.subject is not None}
    cells = {"nasnetalarge": "nasnet_a", "pnasnet5large": "pnas"}
    wanted = {cells.get(b.model, f"timm:{b.model}") for b in BASELINES if 3 in b.tables}
    assert wanted <= trained


@pytest.mark.parametrize("name", PAPER)
def test_what_the_paper_ran_on_eight_gpus_asks_for_eight(name: str, tmp_path: Path) -> None:
    """ImageNet and COCO; at the small scale every job runs in one process."""
    large = ("imagenet", "imagenet100", "coco")
    for job in plan(name, tmp_path).jobs:
        if job.data is not None and job.data.name in large and not job.title.startswith("search random"):
            assert job.processes == 8, job.title
    assert {job.processes for job in plan(name, tmp_path, "small").jobs} == {1}


@pytest.mark.parametrize("name", PAPER)
def test_small_scale_needs_no_data_but_cifar10_and_takes_minutes(name: str, tmp_path: Path) -> None:
    small = plan(name, tmp_path, "small")
    assert small.suite.name == f"{name}-small"
    assert {job.data.name for job in small.jobs if job.data and job.data.version == MISSING} <= {"cifar10"}
    assert sum(job.seconds for job in small.jobs) / 2 < 3600
    kinds = {job.kind for job in plan(name, tmp_path).jobs}
    assert kinds <= {job.kind for job in small.jobs}


@pytest.mark.parametrize("name", PAPER)
def test_header_gives_command_cost_and_expectation(name: str) -> None:
    header = re.match(r"(?:#.*\n)+", (FOLDER / f"{name}.yaml").read_text()).group()
    assert f"naswild run {name}\n" in header
    assert f"naswild run {name} --scale small" in header
    assert "Cost at the paper's size" in header
    assert "Expect" in header


def test_missing_data_is_said_with_the_variable_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_missing(plan("paper-table1", tmp_path).jobs, RunContext("s", tmp_path))
    assert len(found) == 2
    assert all("NASWILD_DATA is not set" in sentence for sentence in found)
    monkeypatch.setenv("NASWILD_DATA", str(tmp_path))
    job = next(job for job in plan("paper-table2", tmp_path).jobs if job.data is not None)
    assert job.data is not None
    assert explain_missing(job.data) == (
        f"data 'cifar10': {tmp_path}/cifar10 does not exist; put the data there or change its root"
    )


def test_an_unknown_scale_gives_near_matches() -> None:
    with pytest.raises(UnknownName, match="unknown scale of suite paper-table1 'smal'; did you mean 'small'"):
        load_suite("paper-table1", "smal")
    with pytest.raises(UnknownName, match="unknown scale of suite mini 'small'"):
        load_suite("mini", "small")
