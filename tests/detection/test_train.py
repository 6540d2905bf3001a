"""A run ends with the same numbers however often it was killed, and its outcome is what was measured."""

from __future__ import annotations

import json
import logging
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import start_run
from torch import Tensor

from detection.chance import chance_level
from detection.coco_eval import METRICS
from detection.data import CocoData
from detection.recipe import DetectRecipe, Execution
from detection.train import RESUME_POINT, DetectOutcome, run_detection
from nas.errors import NaswildError
from nas.progress import Progress, silent

pytest.importorskip("mmdet")

from detection.evaluate import evaluate_detector

Run = Callable[..., DetectOutcome]


class Stop(Exception):
    """Stands for a kill."""


def stop_at(stage: str, epoch: int, step: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if (progress.stage, progress.epoch, progress.step) == (stage, epoch, step):
            raise Stop

    return report


def weights(outcome: DetectOutcome) -> dict[str, Tensor]:
    return torch.load(outcome.detector, weights_only=True)["state_dict"]


def assert_same(first: DetectOutcome, second: DetectOutcome) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert first.metrics == second.metrics
    assert first.per_class == second.per_class
    assert first.resampled is not None and second.resampled is not None
    assert first.resampled.values["AP"].tolist() == second.resampled.values["AP"].tolist()
    assert first.history == second.history


@pytest.fixture(scope="module")
def run(tiny_backbone: str, digits: CocoData, quick: DetectRecipe) -> Run:
    def start(workdir: Path, recipe: DetectRecipe = quick, seed: int = 5, **options: Any) -> DetectOutcome:
        return run_detection(tiny_backbone, digits, recipe, seed=seed, workdir=workdir, **options)

    return start


@pytest.fixture(scope="module")
def whole(run: Run, tmp_path_factory: pytest.TempPathFactory) -> DetectOutcome:
    """The uninterrupted run that all others are held against."""
    return run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    "place", [("detect", 0, 3), ("detect", 1, 1), ("detect", 2, 6), ("evaluate", 0, 1)], ids=lambda p: f"{p[0]}-{p[1]}"
)
def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    run: Run, whole: DetectOutcome, tmp_path: Path, place: tuple[str, int, int]
) -> None:
    with pytest.raises(Stop):
        run(tmp_path / "broken", report=stop_at(*place))
    resumed = run(tmp_path / "broken")
    assert_same(whole, resumed)
    assert (whole.attempts, resumed.attempts) == (1, 2)


def test_a_run_that_was_killed_twice_ends_like_one_that_was_not(
    run: Run, whole: DetectOutcome, digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    """With SIGKILL, in processes of their own: nothing is flushed and no handler runs."""
    for place in ((1, 4), (2, 2)):
        killed = start_run(digits, quick, tmp_path, seed=5, kill_at=place)
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
    resumed = run(tmp_path)
    assert_same(whole, resumed)
    assert resumed.attempts == 3


def test_averaged_weights_survive_a_stop(run: Run, quick: DetectRecipe, tmp_path: Path) -> None:
    recipe = quick.model_copy(update={"ema": 0.8, "optimizer": "adamw", "schedule": "cosine", "learning_rate": 0.002})
    whole = run(tmp_path / "whole", recipe)
    with pytest.raises(Stop):
        run(tmp_path / "broken", recipe, report=stop_at("detect", 2, 2))
    assert_same(whole, run(tmp_path / "broken", recipe))
    plain = run(tmp_path / "plain", recipe.model_copy(update={"ema": None}))
    assert any(not torch.equal(weights(whole)[name], value) for name, value in weights(plain).items())


def test_worker_processes_do_not_change_the_result(run: Run, whole: DetectOutcome, tmp_path: Path) -> None:
    assert_same(whole, run(tmp_path, execution=Execution(workers=2)))


def test_a_damaged_resume_point_falls_back_to_the_one_before(
    run: Run, whole: DetectOutcome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Stop):
        run(tmp_path / "broken", report=stop_at("detect", 2, 3))
    newest = tmp_path / "broken" / RESUME_POINT
    newest.write_bytes(newest.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING):
        assert_same(whole, run(tmp_path / "broken"))
    assert "damaged" in caplog.text


def test_a_finished_run_is_scored_again_without_training(run: Run, whole: DetectOutcome) -> None:
    stages: list[str] = []
    again = run(whole.detector.parent, report=lambda progress: stages.append(progress.stage))
    assert_same(whole, again)
    assert set(stages) == {"evaluate"}


def test_another_runs_resume_point_is_refused(run: Run, whole: DetectOutcome, quick: DetectRecipe) -> None:
    with pytest.raises(NaswildError, match="another run"):
        run(whole.detector.parent, seed=6)
    with pytest.raises(NaswildError, match="another run"):
        run(whole.detector.parent, quick.model_copy(update={"learning_rate": 0.01}))


def test_the_seed_decides(run: Run, whole: DetectOutcome, tmp_path: Path) -> None:
    other = run(tmp_path, seed=6)
    assert any(not torch.equal(weights(whole)[name], value) for name, value in weights(other).items())


def test_outcome_holds_what_was_measured(whole: DetectOutcome, quick: DetectRecipe, digits: CocoData) -> None:
    outcome = whole
    assert set(outcome.metrics) <= set(METRICS)
    assert set(outcome.chance) == set(outcome.metrics)
    assert list(outcome.per_class) == list(digits.classes)
    assert not outcome.on_coco2017
    assert outcome.input_size == (3, 64, 64)
    assert len(outcome.history) == quick.epochs
    assert outcome.history[0]["train_loss"] > outcome.history[-1]["train_loss"]
    assert len(outcome.curves["IoU 0.5"]) == 101
    assert outcome.resampled is not None
    assert outcome.resampled.images == len(digits.val.read()["images"])
    on_sets = outcome.resampled.values["AP"]
    assert on_sets.min() < outcome.metrics["AP"] < on_sets.max()
    assert outcome.images_per_second > 0
    assert outcome.inference_images_per_second > 0
    # 3 x 8 x 64 taps on 8 x 8 places, 8 x 12 x 9 on 4 x 4, 12 x 16 x 9 on 2 x 2
    assert outcome.backbone_macs == 3 * 8 * 64 * 64 + 8 * 12 * 9 * 16 + 12 * 16 * 9 * 4
    assert outcome.detector_macs > outcome.backbone_macs
    assert outcome.detector_parameters > outcome.backbone_parameters
    for path in (outcome.picture, outcome.curves_picture):
        with Image.open(path) as picture:
            assert picture.width > 500


def test_the_test_part_is_scored_where_it_is_asked_for(
    tiny_backbone: str, digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    shutil.copytree(digits.train.images, tmp_path / "test")
    data = digits.model_copy(update={"test": digits.train.model_copy(update={"images": tmp_path / "test"})})
    outcome = run_detection(tiny_backbone, data, quick, seed=5, workdir=tmp_path, split="test")
    scores = evaluate_detector(outcome.detector, data, split="test").scores
    assert scores is not None
    assert outcome.metrics == {name: value for name in METRICS if (value := scores.stats[name]) >= 0}
    assert outcome.chance["AP50"] == chance_level(data, split="test", seed=5)["AP50"]
    with pytest.raises(NaswildError, match="no part 'test'"):
        run_detection(tiny_backbone, digits, quick, seed=5, workdir=tmp_path, split="test")


def test_every_step_is_reported(run: Run, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(tmp_path, report=seen.append)
    train = [progress for progress in seen if progress.stage == "detect"]
    assert [(p.epoch, p.step) for p in train] == [(e, s) for e in range(3) for s in range(1, 7)]
    assert all(p.metrics["loss"] > 0 for p in train)
    assert seen[-1].stage == "evaluate"


def test_nothing_is_printed_and_the_log_is_kept(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, report=silent)
    assert capfd.readouterr().out == ""
    log = (tmp_path / "log" / "log.txt").read_text()
    assert "levels and anchors" in log
    assert "backbone weights" in log


def test_a_broken_set_is_refused_before_anything_is_built(
    tiny_backbone: str, digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    content = json.loads(digits.train.annotations.read_text())
    content["annotations"][0]["category_id"] = 99
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(content))
    data = digits.model_copy(update={"train": digits.train.model_copy(update={"annotations": path})})
    with pytest.raises(NaswildError, match="unknown category"):
        run_detection(tiny_backbone, data, quick, seed=0, workdir=tmp_path / "run")


def test_mmdet_loads_the_trained_detector_from_its_config(whole: DetectOutcome, digits: CocoData) -> None:
    from mmdet.apis import inference_detector, init_detector

    detector = init_detector(str(whole.config), str(whole.detector), palette="random", device="cpu")
    image = digits.val.read()["images"][0]
    found = inference_detector(detector, str(digits.val.images / image["file_name"]))
    assert found.pred_instances.bboxes.shape[1] == 4
    assert tuple(detector.dataset_meta["classes"]) == digits.classes
