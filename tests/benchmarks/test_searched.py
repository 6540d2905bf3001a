"""What is said and drawn of a finished search: collapse, budget, survivors, classes, costs, the trajectory."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli.searched import describe
from benchmarks.engine import LocalEngine, _Running
from benchmarks.plan import Job
from benchmarks.report.trajectory import draw_trajectory, mean_weights, save_trajectory
from benchmarks.run import Options, plan_suite
from benchmarks.suite import Suite
from benchmarks.tasks import Assignment, DataSource, Subject, get_task
from benchmarks.tasks.cards import fit
from benchmarks.worker import RunContext, make_assignment
from benchmarks.yamlfile import Document, validate
from nas.errors import NaswildError
from tests.benchmarks.synthetic import backbones, search_result

FULL = ["none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"]
LESS = ["skip_connect", "sep_conv_3x3"]


def epoch(width: int, **fields: Any) -> dict[str, Any]:
    plain = {"skips": 1, "dropout": 0.3, "train_loss": 1.0, "train_accuracy": 0.5, "alphas_loss": 1.2}
    alphas = {"normal": [[0.0] * width] * 14, "reduce": [[0.0] * width] * 14}
    later = {"alphas_accuracy": 0.4, "validation_accuracy": None, "alpha_gradients": None}
    return {**plain, **later, "alphas": alphas, **fields}


def stage(number: int, names: list[str], trajectory: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "stage": number,
        "cells": 5 + 6 * number,
        "channels": 16,
        "operations": {"normal": [names] * 14, "reduce": [names] * 14},
        "alphas": trajectory[-1]["alphas"],
        "alternatives": {"0": {"a": 1}, "1": {"a": 2}, "2": {"a": 2}},
        "survivors": None,
        "trajectory": trajectory,
        "seconds": 100.0,
        "peak_memory_bytes": 9_800_000_000,
        **fields,
    }


@pytest.fixture
def stages() -> list[dict[str, Any]]:
    sizes = {"skip_connect": 0.3, "sep_conv_3x3": 0.1}
    last = epoch(2, skips=6, validation_accuracy=0.875, alpha_gradients=sizes)
    return [
        stage(0, FULL, [epoch(4, alphas_loss=None, alphas_accuracy=None), epoch(4)]),
        stage(1, LESS, [epoch(2), last], survivors={"normal": 5, "reduce": 7}),
    ]


def described(details: dict[str, Any], run_dir: Path) -> dict[str, str]:
    """The lines by their first word; of a search whose ImageNet network has 597 million multiply-adds."""
    found = search_result(next(backbones()))
    backbone = found.backbone.model_copy(update={"macs": 597_000_000, "parameters": 5_400_000})
    result = found.model_copy(update={"details": details, "backbone": backbone})
    return {line[:12].strip(): line[12:] for line in describe(result, run_dir)}


def test_every_stage_is_said_with_its_cost(stages: list[dict[str, Any]], tmp_path: Path) -> None:
    said = described({"stages": stages}, tmp_path)
    assert said["stage 1"].startswith("5 cells, 16 channels, 4 operations")
    assert said["stage 2"] == (
        "11 cells, 16 channels, 2 operations, 6 skips before refinement, supernet validation accuracy 87.5 %, 100 s, "
        "peak 9.80 GB"
    )
    assert said["survivors"] == "normal 5, reduction 7 of 14 leading operations stay from 1 to 2"
    assert said["M"] == "at most 0 to 2 skip-connects give 2 different cells, in the result"
    assert "3.00 times the convolutions'" in said["gradients"]


def test_what_computed_the_convolutions_is_said(stages: list[dict[str, Any]], tmp_path: Path) -> None:
    slow = "PyTorch (6 channels are not a multiple of 4, which the compiled kernels ask for)"
    assert "kernels" not in described({"stages": stages}, tmp_path)  # results of before hold nothing about it
    assert described({"stages": [stage | {"kernels": slow} for stage in stages]}, tmp_path)["kernels"] == slow


def test_what_our_packages_log_is_in_the_log_of_a_job() -> None:
    code = "import logging; from benchmarks.worker import _log_to_stdout; _log_to_stdout(); "
    code += "logging.getLogger('nas.search.supernet').info('said'); logging.getLogger('other').info('not said')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("said\n", "")


def test_whose_accuracy_it_is_is_said(stages: list[dict[str, Any]], tmp_path: Path) -> None:
    """Methods that sample are tested on the strongest operations; results from before say nothing: a mixture."""
    stages[1]["trajectory"][-1]["validation_of"] = "strongest"
    assert "strongest operations' validation accuracy 87.5 %" in described({"stages": stages}, tmp_path)["stage 2"]


def test_collapse_and_its_absence_are_said(stages: list[dict[str, Any]], tmp_path: Path) -> None:
    assert described({"stages": stages, "collapse": None}, tmp_path)["collapse"] == "no"
    assert described({"stages": stages, "collapse": "6 of 8 edges"}, tmp_path)["collapse"] == "6 of 8 edges"


@pytest.mark.parametrize(
    ("budget", "within", "words"), [(600_000_000, True, "within the budget of 600 M"), (500_000_000, False, "OVER")]
)
def test_the_budget_is_said(tmp_path: Path, budget: int, within: bool, words: str) -> None:
    said = described({"recipe": {"max_macs": budget}, "within_budget": within}, tmp_path)["size"]
    assert said.startswith("5.40 M parameters, 597 M multiply-adds")
    assert words in said
    assert "budget" not in described({"recipe": {"max_macs": None}}, tmp_path)["size"]


def test_many_classes_are_counted_and_few_named(tmp_path: Path) -> None:
    assert described({"classes": ["cat", "dog"]}, tmp_path)["classes"] == "cat, dog"
    assert "(100 in the result)" in described({"classes": [f"n{i:08}" for i in range(100)]}, tmp_path)["classes"]


def test_mean_weights_are_softmax_means_with_zero_where_an_operation_is_gone(stages: list[dict[str, Any]]) -> None:
    found = mean_weights(stages, "normal")
    assert found["max_pool_3x3"] == [pytest.approx(0.25)] * 2 + [0.0] * 2
    assert found["skip_connect"] == [pytest.approx(0.25)] * 2 + [pytest.approx(0.5)] * 2


def test_the_picture_has_a_plot_for_everything_and_gaps_where_nothing_was_measured(
    stages: list[dict[str, Any]],
) -> None:
    root = ET.fromstring(draw_trajectory(stages))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for title in ("skip-connects, normal cell", "accuracy", "loss", "mean gradient of the alphas"):
        assert title in texts
    lines = {}
    for polyline in root.iter("{http://www.w3.org/2000/svg}polyline"):
        lines.setdefault(polyline[0].text, []).append(len(polyline.get("points", "").split()))
    assert lines["alphas' half"] == [3, 3]  # accuracy and loss: not in the first epoch
    assert lines["alphas' half, tested"] == [1]
    assert lines["before refinement"] == [4]


def test_a_search_without_epochs_or_another_file_is_refused(stages: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match="no epochs"):
        save_trajectory([], tmp_path / "a.svg")
    with pytest.raises(NaswildError, match="drawn as an"):
        save_trajectory(stages, tmp_path / "a.jpg")


def test_a_trajectory_is_drawn_from_an_outcome_file(stages: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text(json.dumps({"stages": stages}))
    command = [sys.executable, "-m", "benchmarks.report.trajectory", tmp_path / "search.json", tmp_path / "search.svg"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    assert ET.parse(tmp_path / "search.svg").getroot().tag.endswith("svg")


def search_job(tmp_path: Path, **fields: Any) -> Job:
    """The search of a suite of one backbone."""
    content = {
        "name": "one",
        "backbones": [{"search": {"method": "pdarts", "on": "digits", **fields}}],
        "protocols": {"search": "search-mini"},
    }
    document = Document(Path("command line"), content, {})
    return plan_suite(validate(Suite, document), document, Options(), tmp_path).jobs[-1]


def test_processes_that_share_a_search_are_part_of_its_identity(tmp_path: Path) -> None:
    alone, one, two = search_job(tmp_path), search_job(tmp_path, processes=1), search_job(tmp_path, processes=2)
    assert alone.key == one.key
    assert one.key != two.key
    assignment = make_assignment(two, RunContext("one", tmp_path), lambda _: None)
    assert assignment.processes == 2
    assert assignment.protocol_hash == two.protocol.hash


def test_a_job_in_several_processes_gets_as_many_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    engine, job = LocalEngine(RunContext("one", tmp_path), slots=4), search_job(tmp_path, processes=2)
    nothing: Any = None
    engine._running = [_Running(replace(job, processes=1), nothing, nothing, nothing, "0")]
    assert engine._free_devices(1) == "1"
    assert engine._free_devices(2) == "1,2"
    engine._running.append(_Running(job, nothing, nothing, nothing, "1,2"))
    assert engine._free_devices(1) == "3"
    assert engine.free == 1
    engine._running.append(_Running(job, nothing, nothing, nothing, "3,0"))
    assert engine.free == 0


def test_the_task_spreads_the_search_over_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Called(Exception):
        pass

    def searching(method: str, load: Any, recipe: Any, **options: Any) -> None:
        assert (method, recipe, options["processes"], options["protocol_hash"]) == ("pdarts", None, 2, "abc")
        assert pickle.loads(pickle.dumps(load))().name == "digits"  # as a process of its own gets it
        raise Called

    monkeypatch.setattr("nas.search.launch.search_in_processes", searching)
    subject, data = Subject("pdarts@digits", "searched", method="pdarts"), DataSource("digits", "v", proxy="digits")
    assignment = Assignment("job", subject, None, data, 0, tmp_path, tmp_path, processes=2, protocol_hash="abc")
    with pytest.raises(Called):
        get_task("search").run(assignment)


def test_on_fewer_cards_a_search_computes_the_same_parts_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes are one that accumulates two parts: the batch and its parts stay what the suite says."""
    called: dict[str, Any] = {}

    def searching(method: str, proxy: Any, recipe: Any, **options: Any) -> None:  # noqa: ARG001
        called.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("nas.search.methods.search", searching)
    subject, data = Subject("pdarts@digits", "searched", method="pdarts"), DataSource("digits", "v", proxy="digits")
    assignment = Assignment("job", subject, None, data, 0, tmp_path, tmp_path, processes=2)
    assert get_task("search").missing(assignment) == []
    with pytest.raises(KeyboardInterrupt):
        get_task("search").run(assignment)
    assert called["execution"].accumulate == 2


@pytest.mark.parametrize(
    ("wanted", "cards", "here"), [(8, 8, 8), (8, 6, 4), (8, 1, 1), (6, 4, 3), (1, 4, 1), (2, 0, 2)]
)
def test_processes_that_fit_divide_those_that_are_wanted(wanted: int, cards: int, here: int) -> None:
    assert fit(wanted, cards) == here
