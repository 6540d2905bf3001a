"""Training PCB: exact resume, learning above an untrained network, and what the outcome says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.errors import NaswildError
from nas.progress import Progress, silent
from nas.train_recipe import Execution
from reid.model import build_pcb
from reid.outcome import ReidOutcome
from reid.recipe import ReidRecipe
from reid.train import run_reid

EVERY_STEP = Execution(accelerator="cpu", workers=0, checkpoint_seconds=0)
RECIPE = ReidRecipe(
    height=96,
    width=48,
    reduced_dim=16,
    epochs=3,
    batch_size=12,
    learning_rate=0.1,
    backbone_multiplier=1.0,
    schedule="cosine",
    warmup_epochs=0.0,
    erasing=0.5,
    padding=2,
    dropout=0.2,
)


class Stop(Exception):
    """Stands for a kill."""


def stop_at(epoch: int, step: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if (progress.stage, progress.epoch, progress.step) == ("train", epoch, step):
            raise Stop

    return report


def run(root: Path, workdir: Path, recipe: ReidRecipe = RECIPE, report=silent, parts: int = 3) -> ReidOutcome:
    options = {"channels": 4, "cells": 3}
    return run_reid(
        *("darts_v2", root, "market1501", recipe),
        **{"parts": parts, "seed": 3, "workdir": workdir, "report": report, "execution": EVERY_STEP, **options},
    )


def weights(workdir: Path) -> dict[str, torch.Tensor]:
    return torch.load(workdir / "checkpoint.pt", weights_only=True)["network"]


@pytest.fixture(scope="module")
def whole(tiny_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ReidOutcome, Path]:
    """The uninterrupted run that the others are held against."""
    workdir = tmp_path_factory.mktemp("whole")
    return run(tiny_sets, workdir), workdir


@pytest.mark.parametrize("kills", [[(0, 2)], [(1, 1), (2, 4)], [(2, 5)]], ids=["once", "twice", "last-step"])
def test_a_killed_run_ends_with_the_same_bits(tiny_sets, whole, tmp_path, kills):
    for place in kills:
        with pytest.raises(Stop):
            run(tiny_sets, tmp_path, report=stop_at(*place))
    resumed = run(tiny_sets, tmp_path)
    expected, folder = whole
    assert resumed.metrics == expected.metrics
    assert resumed.history == expected.history
    assert resumed.attempts == len(kills) + 1
    saved, other = weights(folder), weights(tmp_path)
    assert saved.keys() == other.keys()
    assert all(torch.equal(saved[name], other[name]) for name in saved)


def test_a_checkpoint_of_another_recipe_is_refused(tiny_sets, tmp_path):
    with pytest.raises(Stop):
        run(tiny_sets, tmp_path, report=stop_at(0, 1))
    with pytest.raises(NaswildError, match="another recipe"):
        run(tiny_sets, tmp_path, RECIPE.model_copy(update={"learning_rate": 0.2}))


def test_the_loss_falls(whole):
    losses = [record["train_loss"] for record in whole[0].history]
    assert len(losses) == RECIPE.epochs
    assert losses[-1] < losses[0]


def test_the_outcome_names_sizes_chance_and_picture(whole):
    outcome = whole[0]
    assert not outcome.data_is_published
    assert outcome.feature_dim == 3 * outcome.part_dim
    assert outcome.input_size == (96, 48)
    assert set(outcome.metrics) == {"rank1", "rank5", "rank10", "rank20", "mAP", "mINP"}
    assert 0 < outcome.chance["rank1"] < 0.5
    assert outcome.queries == 14
    assert outcome.picture is not None
    assert outcome.picture.is_file()


@pytest.mark.parametrize("option", [{"accumulate": 2}, {"compile": True}])
def test_what_retraining_alone_can_do_is_refused(tiny_sets, tmp_path, option):
    options = {"parts": 1, "seed": 0, "workdir": tmp_path, "execution": Execution(**option)}
    with pytest.raises(NaswildError, match="accumulate and compile are for retraining"):
        run_reid("darts_v2", tiny_sets, "market1501", RECIPE, **options)


def test_more_stripes_than_rows_are_refused(tiny_sets, tmp_path):
    with pytest.raises(NaswildError, match="parts"):
        run(tiny_sets, tmp_path, parts=7)


def test_frozen_epochs_leave_weights_statistics_and_momentum_of_the_backbone_alone(tiny_sets, tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 1, "frozen_epochs": 1})
    start = build_pcb("darts_v2", recipe, parts=3, identities=12, seed=3, channels=4, cells=3)
    run(tiny_sets, tmp_path, recipe)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    moved = {name for name, tensor in start.state_dict().items() if not torch.equal(tensor, saved["network"][name])}
    assert moved
    assert not [name for name in moved if name.startswith("backbone.")]
    momentum = saved["optimizer"]["state"]  # by the number of the parameter; those of the backbone come first
    assert min(momentum) == len(list(start.backbone.parameters()))
