"""A run that would train nothing, score nothing or has diverged ends with an error that says so, not as "done"."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import TinyBackbone
from torch import Tensor, nn

pytest.importorskip("mmdet")

from detection.data import CocoData, CocoSplit
from detection.guard import RunGuard
from detection.recipe import DetectRecipe
from detection.train import RESUME_POINT, run_detection
from nas.checkpoint import load_checkpoint
from nas.errors import NaswildError
from nas.progress import Progress

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def with_boxes_on(data: CocoData, part: str, images: int, folder: Path) -> CocoData:
    """The data with the boxes of only the first ``images`` images of a part."""
    split = data.split(part)
    content = json.loads(split.annotations.read_text())
    kept = {image["id"] for image in content["images"][:images]}
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in kept]
    path = folder / f"{part}.json"
    path.write_text(json.dumps(content))
    return data.model_copy(update={part: CocoSplit(annotations=path, images=split.images)})


def poisoned(monkeypatch: pytest.MonkeyPatch, at: int, value: float) -> None:
    """Make the ``at``-th call of the backbone in training give ``value``."""
    forward: Callable[..., list[Tensor]] = TinyBackbone.forward
    calls = 0

    def broken(self: TinyBackbone, x: Tensor) -> list[Tensor]:
        nonlocal calls
        calls += self.training
        levels = forward(self, x)
        return [level * value for level in levels] if self.training and calls == at else levels

    monkeypatch.setattr(TinyBackbone, "forward", broken)


@pytest.mark.parametrize(
    ("images", "message"), [(3, "has 3 images with boxes, fewer than a batch of 4"), (0, "no boxes")]
)
def test_too_few_images_with_boxes_are_refused(
    images: int, message: str, digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    data = with_boxes_on(digits, "train", images, tmp_path)
    recipe = quick.model_copy(update={"batch_size": 4, "schedule": "cosine"})
    with pytest.raises(NaswildError, match=message):
        run_detection("tiny", data, recipe, seed=0, workdir=tmp_path)


def test_a_part_without_boxes_is_refused_before_training(digits: CocoData, quick: DetectRecipe, tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match="no boxes"):
        run_detection("tiny", with_boxes_on(digits, "val", 0, tmp_path), quick, seed=0, workdir=tmp_path)
    data = digits.model_copy(update={"test": with_boxes_on(digits, "val", 0, tmp_path).val})
    shutil.copytree(digits.val.images, tmp_path / "test")
    data = data.model_copy(update={"test": data.split("test").model_copy(update={"images": tmp_path / "test"})})
    with pytest.raises(NaswildError, match="no boxes to score with"):
        run_detection("tiny", data, quick, seed=0, workdir=tmp_path, split="test")


def test_the_cosine_is_whole_where_images_without_boxes_are_left_out(
    digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    """Loshchilov and Hutter 2017, equation 5, one period: 8 of 12 images have boxes, so 3 epochs of 4 steps."""
    rates = [quick.learning_rate]

    def report(progress: Progress) -> None:
        if progress.stage == "detect":
            rates.append(progress.metrics["lr"])  # after the step: the rate of the next one

    recipe = quick.model_copy(update={"schedule": "cosine", "warmup_steps": 0})
    data = with_boxes_on(digits, "train", 8, tmp_path)
    run_detection("tiny", data, recipe, seed=0, workdir=tmp_path, report=report)
    expected = [recipe.learning_rate * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    assert rates[:12] == pytest.approx(expected, rel=1e-9)
    assert len(rates) == 13  # the last is of a step that is not made


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_first_loss_that_is_not_finite_ends_the_run(
    value: float, digits: CocoData, quick: DetectRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, at=6 + 3, value=value)  # six steps per epoch
    seen: list[Progress] = []
    with pytest.raises(NaswildError, match=r"the loss is (nan|inf) at epoch 2, step 3;"):
        run_detection("tiny", digits, quick, seed=0, workdir=tmp_path, report=seen.append)
    assert (seen[-1].epoch, seen[-1].step) == (1, 2)
    kept = load_checkpoint(tmp_path / RESUME_POINT)
    assert kept is not None
    assert kept["epoch"] == 1
    assert all(bool(torch.isfinite(value).all()) for value in kept["state_dict"].values())


def test_a_rate_that_is_far_too_high_ends_the_run(digits: CocoData, quick: DetectRecipe, tmp_path: Path) -> None:
    recipe = quick.model_copy(update={"learning_rate": 1e30, "warmup_steps": 0, "gradient_clip": None})
    with pytest.raises(NaswildError, match=r"training diverged: .* at epoch 1, step \d"):
        run_detection("tiny", digits, recipe, seed=0, workdir=tmp_path)


@pytest.mark.parametrize("name", ["weight", "running_var"])
def test_weights_and_statistics_that_the_last_step_spoilt_are_not_kept(name: str) -> None:
    model = nn.BatchNorm2d(2)
    with torch.no_grad():
        model.state_dict()[name][0] = math.nan
    runner: Any = SimpleNamespace(model=model, epoch=4)
    with pytest.raises(NaswildError, match=f"{name} is not finite at the end of epoch 5"):
        RunGuard().after_train_epoch(runner)


def test_the_guard_comes_before_what_saves() -> None:
    from mmengine.hooks import CheckpointHook
    from mmengine.runner import get_priority

    from detection.hooks import ResumePoint

    assert get_priority(RunGuard.priority) < get_priority(ResumePoint.priority)
    assert get_priority(RunGuard.priority) < get_priority(CheckpointHook.priority)
