"""A job that shares its work among processes, as a suite's ``processes: 2`` asks: detection and re-identification."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmdet")

from benchmarks.tasks import Assignment, DataSource, Subject, get_task
from detection.compose import make_digits_coco
from detection.data import CocoData
from detection.recipe import DetectAugmentation, DetectorShape, DetectRecipe
from nas import launch
from nas.progress import Progress
from nas.train_recipe import Execution
from reid.draw import SetSize, make_reid_sets
from reid.recipe import ReidRecipe
from reid.trained import Trained, score_pcb

needs_gloo = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")

# Neither 13 queries nor 29 gallery images divide by two: a padded share would be counted twice if it were not cut off.
UNEVEN = {"market1501": SetSize(12, 60, 6, 13, 25, distractors=4, junk=3)}
REID = ReidRecipe(
    height=96,
    width=48,
    reduced_dim=16,
    epochs=1,
    batch_size=12,
    images_per_identity=3,
    triplet_weight=0.5,
    learning_rate=0.1,
    backbone_multiplier=1.0,
    erasing=0.5,
    dropout=0.2,
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> CocoData:
    """12 training and 6 validation images of 96 pixels."""
    return make_digits_coco(tmp_path_factory.mktemp("digits"), seed=3, train=12, val=6, image_size=160)


@pytest.fixture(scope="module")
def quick() -> DetectRecipe:
    """Three epochs of six steps, with every kind of augmentation but the mirror."""
    return DetectRecipe(
        input_size=64,
        shape=DetectorShape(extra_channels=(16,)),
        augmentation=DetectAugmentation(expand=2.0, flip=0.5),
        epochs=3,
        batch_size=2,
        learning_rate=0.02,
        schedule="step",
        milestones=(2,),
        warmup_steps=4,
        nms_candidates=50,
        gradient_clip=10.0,
    )


@needs_gloo
def test_the_task_spreads_a_job_over_its_processes(digits: CocoData, quick: DetectRecipe, tmp_path: Path) -> None:
    """As a suite's ``processes: 2`` does: the steps are those of one process, the whole batch is the recipe's."""
    shape = quick.shape.model_copy(update={"channels": 4, "cells": 5})
    recipe = quick.model_copy(update={"batch_size": 4, "epochs": 1, "milestones": (), "shape": shape})
    steps: list[int] = []

    def report(progress: Progress) -> None:
        if progress.stage == "detect":
            steps.append(progress.steps)

    assignment = Assignment(
        job="job",
        subject=Subject("darts_v2", "published", source="darts_v2"),
        recipe=recipe,
        data=DataSource("digits", "v", root=digits.train.annotations.parents[1]),
        seed=0,
        run_dir=tmp_path,
        workdir=tmp_path,
        options={"processes": 2},
        processes=get_task("detect").processes({"processes": 2}),
        report=report,
    )
    task = get_task("detect")
    assert task.missing(assignment) == []
    outcome = task.run(assignment)
    assert steps == [3] * 3  # 12 images in batches of 4
    assert outcome.device.startswith("2 x ")
    assert outcome.metrics["AP"].value >= 0
    (said,) = task.missing(replace(assignment, processes=3))
    assert "a batch of 4 images cannot be divided among 3 processes" in said


def test_on_fewer_cards_fewer_processes_share_the_batch(
    digits: CocoData, quick: DetectRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: dict[str, Any] = {}

    def run(work: Any, **options: Any) -> None:  # noqa: ARG001
        called.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("torch.cuda.device_count", lambda: 6)
    monkeypatch.setattr("nas.launch.run_in_processes", run)
    data = DataSource("digits", "v", root=digits.train.annotations.parents[1])
    subject = Subject("darts_v2", "published", source="darts_v2")
    recipe = quick.model_copy(update={"batch_size": 64})
    with pytest.raises(KeyboardInterrupt):
        get_task("detect").run(Assignment("job", subject, recipe, data, 0, tmp_path, tmp_path, processes=8))
    assert called["processes"] == 4


@needs_gloo
def test_the_task_shares_its_job_among_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes train and score one job; one process scores its network alike."""
    make_reid_sets(tmp_path / "sets", seed=0, sizes=UNEVEN)
    forked = partial(launch.run_in_processes, start_method="fork")  # which import nothing again
    monkeypatch.setattr(launch, "run_in_processes", forked)
    task, options = get_task("reid"), {"set": "market1501", "parts": 2, "processes": 2}
    assignment = Assignment(
        job="job",
        subject=Subject("test_resnet", "timm", source="timm:test_resnet"),
        recipe=REID,
        data=DataSource("people", version="1", root=tmp_path / "sets"),
        seed=0,
        run_dir=tmp_path,
        workdir=tmp_path,
        options=options,
        processes=task.processes(options),
    )
    outcome = task.run(assignment)
    assert outcome.device.startswith("2 x cpu")
    found = {name: metric.value for name, metric in outcome.metrics.items()}
    network = Trained.open(outcome.artifacts["pcb"], execution=Execution(accelerator="cpu", workers=0))
    alone = score_pcb(network, tmp_path / "sets").found.ranking.metrics
    assert found == pytest.approx(dict(alone), abs=1e-6)
    assert task.variant(options) == {"parts": 2}
