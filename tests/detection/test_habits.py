"""What a recipe says of its backbone holds in training: SyncBN in one process, frozen stages, mixed precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmdet")

from detection.backbone import backbone_config
from detection.config import build_config
from detection.data import CocoData
from detection.recipe import DetectRecipe, Execution
from detection.run import DetectionRun
from detection.train import DetectOutcome, run_detection
from nas.errors import NaswildError
from nas.progress import silent


@pytest.fixture(scope="module")
def recipe(quick: DetectRecipe) -> DetectRecipe:
    """One epoch of three steps on a network of five small cells."""
    shape = quick.shape.model_copy(update={"channels": 4, "cells": 5})
    return quick.model_copy(update={"shape": shape, "epochs": 1, "milestones": (), "batch_size": 4})


@pytest.fixture(scope="module")
def plain(recipe: DetectRecipe, digits: CocoData, tmp_path_factory: pytest.TempPathFactory) -> DetectOutcome:
    return run_detection("darts_v2", digits, recipe, seed=0, workdir=tmp_path_factory.mktemp("plain"))


def test_synced_norm_of_one_process_is_batch_norm(
    plain: DetectOutcome, recipe: DetectRecipe, digits: CocoData, tmp_path: Path
) -> None:
    changed = recipe.model_copy(update={"norm": "SyncBN"})
    synced = run_detection("darts_v2", digits, changed, seed=0, workdir=tmp_path)
    assert synced.history == plain.history
    assert synced.metrics == plain.metrics


def test_frozen_stages_end_as_they_started(recipe: DetectRecipe, digits: CocoData, tmp_path: Path) -> None:
    changed = recipe.model_copy(update={"frozen_stages": 1})
    backbone = backbone_config("darts_v2", changed)
    config = build_config(backbone, digits, changed, Execution(), seed=0, workdir=tmp_path)
    run = DetectionRun(config, tmp_path / "resume.pt", "frozen", silent, lambda: None)
    body: Any = run.model.backbone
    before = {name: value.clone() for name, value in body.state_dict().items()}
    run.train()
    still = {name for name, value in body.state_dict().items() if torch.equal(value, before[name])}
    frozen = {name for name, parameter in body.named_parameters() if not parameter.requires_grad}
    assert any(name.startswith("body.stem0") for name in frozen)
    assert {name for name, _ in body.named_parameters()} & still == frozen
    assert {name for name in before if name.startswith(("body.stem0", "body.stem1"))} <= still  # running statistics too


def test_mixed_precision_is_mmengines_on_a_gpu_and_refused_without_one(
    recipe: DetectRecipe, digits: CocoData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = recipe.model_copy(update={"precision": "amp"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    wrapper = build_config({}, digits, mixed, Execution(), seed=0, workdir=tmp_path).optim_wrapper
    assert wrapper.type == "AmpOptimWrapper"
    assert not wrapper.optimizer.fused
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NaswildError, match="needs a GPU"):
        run_detection("darts_v2", digits, mixed, seed=0, workdir=tmp_path)
