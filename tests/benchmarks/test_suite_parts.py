"""Scales, cells of a search, forms, tasks for some backbones only, and networks that meet one task only."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import mini_results

from benchmarks.plan import Plan
from benchmarks.run import Options, prepare
from benchmarks.store import Result, save_result
from benchmarks.suite import load_suite
from benchmarks.worker import RunContext, make_assignment
from nas.errors import NaswildError

HEAD = "name: s\nprotocols: {search: search-mini, retrain: retrain-mini, reid: reid-mini, detect: detect-mini}\n"


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    def make(text: str, scale: str | None = None) -> Plan:
        path = tmp_path / "s.yaml"
        path.write_text(HEAD + text)
        return prepare(str(path), Options(scale=scale), tmp_path / "run")

    return make


CELLS = """\
backbones:
  - {name: first, search: {method: pdarts, on: digits, cell: stage1}}
  - {name: own, search: {method: pdarts, on: digits}}
  - {name: few, search: {method: pdarts, on: digits, cell: skips1}}
tasks: [{task: classify, data: digits}]
"""


def test_several_cells_share_one_search_and_are_trained_each(plan: Callable[..., Plan]) -> None:
    found = plan(CELLS)
    (search,) = [job for job in found.jobs if job.kind == "search"]
    trained = {job.subject.name: job for job in found.jobs if job.kind == "classify"}
    assert {name: job.cell for name, job in trained.items()} == {"first": "stage1", "own": "final", "few": "skips1"}
    assert all(job.needs == (search.key,) for job in trained.values())
    assert len({job.key for job in trained.values()}) == 3


def test_the_final_cell_keeps_the_key_it_had_without_the_others(plan: Callable[..., Plan]) -> None:
    alone = plan("backbones: [{search: {method: pdarts, on: digits}}]\ntasks: [{task: classify, data: digits}]\n")
    among = {job.subject.name: job.key for job in plan(CELLS).jobs if job.kind == "classify"}
    assert among["own"] == alone.jobs[-1].key


def test_a_job_starts_from_the_cell_it_is_about(plan: Callable[..., Plan], tmp_path: Path) -> None:
    job = next(job for job in plan(CELLS).jobs if job.cell == "stage1")
    search = _search_with_cells(tmp_path, str(job.upstream))
    subject = make_assignment(job, RunContext("s", tmp_path), lambda _: None).subject
    other = json.loads((tmp_path / search.artifacts["cells"]).read_text())["stage1"]
    assert subject.genotype == other != search.backbone.genotype
    assert json.loads(Path(str(subject.source)).read_text()) == other
    with pytest.raises(NaswildError, match="no cell 'skips1'; it has stage1"):
        make_assignment(replace(job, cell="skips1"), RunContext("s", tmp_path), lambda _: None)


def _search_with_cells(run_dir: Path, key: str) -> Result:
    first, second = [result for result in mini_results() if result.kind == "search"][:2]
    (run_dir / "genotypes").mkdir()
    (run_dir / "genotypes" / "a.cells.json").write_text(json.dumps({"stage1": second.backbone.genotype}))
    artifacts = {"genotype": "genotypes/a.json", "cells": "genotypes/a.cells.json"}
    search = first.model_copy(update={"key": key, "job": f"search-{key}", "artifacts": artifacts})
    save_result(run_dir, search)
    return search


def test_an_unknown_cell_is_refused_with_its_line(plan: Callable[..., Plan]) -> None:
    with pytest.raises(NaswildError, match=r"s.yaml:4: backbones.0.search.cell"):
        plan("backbones:\n  - search: {method: pdarts, on: digits, cell: stage0}\n")


def test_a_form_tells_two_protocols_on_the_same_data_apart(plan: Callable[..., Plan]) -> None:
    found = plan(
        "backbones: [darts_v2]\ntasks:\n  - {task: classify, data: digits}\n"
        "  - {task: classify, data: digits, form: large, protocol: retrain-small}\n"
    )
    small, large = found.jobs
    assert (small.variant, large.variant) == ({}, {"form": "large"})
    assert large.title == "classify digits large darts_v2"


def test_a_task_may_be_for_some_backbones_only(plan: Callable[..., Plan]) -> None:
    text = "backbones: [darts_v2, darts_v1]\ntasks:\n  - {task: classify, data: digits, backbones: [%s]}\n"
    assert [job.subject.name for job in plan(text % "darts_v1").jobs] == ["darts_v1"]
    with pytest.raises(NaswildError, match=r"s.yaml:5: tasks.0.backbones: unknown backbone 'darts_v3'; did you mean"):
        plan(text % "darts_v3")


def test_torchreids_networks_meet_re_identification_only(plan: Callable[..., Plan]) -> None:
    found = plan(
        "backbones: [darts_v2, torchreid:osnet_x1_0]\n"
        "tasks:\n  - {task: classify, data: digits}\n  - {task: reid, data: p, set: market1501, parts: 1}\n"
        "data: {p: {made: reid}}\n"
    )
    (job,) = [job for job in found.jobs if job.subject is not None and job.subject.kind == "torchreid"]
    assert job.kind == "reid"
    assert job.subject.source == "torchreid:osnet_x1_0"
    assert job.upstream is None


SCALED = """\
backbones: [darts_v2]
tasks: [{task: classify, data: digits}]
seeds: [0, 1]
data:
  a: {proxy: digits}
scales:
  tiny:
    backbones: [darts_v1]
    protocols: {retrain: retrain-small}
    seeds: [3]
  broken:
    seeds: [1, 1]
"""


def test_a_scale_replaces_keys_and_single_protocols(plan: Callable[..., Plan]) -> None:
    found = plan(SCALED, "tiny")
    assert found.suite.name == "s-tiny"
    assert found.suite.protocols["search"] == "search-mini"
    assert [(job.subject.name, job.seed, job.protocol.name) for job in found.jobs] == [("darts_v1", 3, "retrain-small")]


def test_mistakes_in_a_scale_point_at_its_lines(plan: Callable[..., Plan], tmp_path: Path) -> None:
    plan(SCALED)  # the full size does not mind
    with pytest.raises(NaswildError, match=r"s.yaml:14: seeds: a seed is listed twice"):
        load_suite(str(tmp_path / "s.yaml"), "broken")
