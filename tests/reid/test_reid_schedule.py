"""Learning rates over the epochs, mixed precision, and what re-ranking MSMT17 would need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from nas.train_recipe import Execution
from reid.recipe import ReidRecipe
from reid.reranking import estimated_bytes
from reid.train import run_reid, set_learning_rates


def rates(recipe: ReidRecipe, epoch: int, within: float = 0.0) -> tuple[float, float]:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_learning_rates(optimizer, recipe, epoch, within)
    backbone, head = (group["lr"] for group in optimizer.param_groups)
    return backbone, head


def test_the_papers_rates_fall_tenfold_after_40_epochs_and_the_backbone_learns_at_a_tenth():
    recipe = ReidRecipe()
    assert rates(recipe, 0) == pytest.approx((0.01, 0.1))
    assert rates(recipe, 39, 0.9) == pytest.approx((0.01, 0.1))
    assert rates(recipe, 40) == pytest.approx((0.001, 0.01))


def test_warm_up_rises_linearly_within_epochs_and_a_frozen_backbone_rests():
    recipe = ReidRecipe(warmup_epochs=2, frozen_epochs=1)
    assert rates(recipe, 0, 0.5) == pytest.approx((0.0, 0.025))
    assert rates(recipe, 1, 0.0) == pytest.approx((0.005, 0.05))
    assert rates(recipe, 2)[1] == pytest.approx(0.1)


def test_cosine_ends_at_zero():
    recipe = ReidRecipe(schedule="cosine", epochs=10)
    assert recipe.learning_rate_factor(5) == pytest.approx(0.5)
    assert recipe.learning_rate_factor(10) == pytest.approx(0, abs=1e-12)


def test_a_triplet_loss_without_pairs_is_refused():
    with pytest.raises(ValidationError, match="images_per_identity >= 2"):
        ReidRecipe(triplet_weight=1.0)


@pytest.mark.parametrize("source", ["torchreid:osnet_x0_25", "darts_v2"])
def test_torchreids_networks_and_mixed_precision_run_in_the_task(tiny_sets: Path, tmp_path: Path, source: str):
    recipe = ReidRecipe(height=96, width=48, reduced_dim=8, epochs=1, batch_size=20, precision="bf16-mixed")
    options = {} if source.startswith("torchreid") else {"channels": 4, "cells": 3}
    outcome = run_reid(
        *(source, tiny_sets, "market1501", recipe),
        **{"parts": 3, "seed": 0, "workdir": tmp_path, "execution": Execution(accelerator="cpu", workers=0), **options},
    )
    assert outcome.history[0]["train_loss"] > 0
    assert 0 <= outcome.metrics["mAP"] <= 1
    assert outcome.per_query["mAP"].mean() == pytest.approx(outcome.metrics["mAP"])


@pytest.mark.parametrize(("name", "channels"), [("resnet50", 2048), ("osnet_x1_0", 512)])
def test_torchreids_baselines_give_a_map_of_stride_16(name: str, channels: int):
    from reid.model import reid_backbone

    backbone = reid_backbone(f"torchreid:{name}", last_stride=1)
    with torch.no_grad():
        level = backbone.eval()(torch.zeros(1, 3, 64, 32))[-1]
    assert level.shape == (1, channels, 4, 2)


def test_reranking_msmt17_fits_where_the_published_code_takes_35_gib_a_matrix():
    assert estimated_bytes(11_659 + 82_161, 2048) < 3 * 2**30
