"""The built-in tasks: what they ask for before hours are spent, and what their options mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.tasks import Assignment, DataSource, Subject, classify, get_task
from benchmarks.tasks.proxy import open_proxy
from nas.errors import NaswildError
from nas.train_recipe import RetrainRecipe


def assignment(tmp_path: Path, source: str = "darts_v2", recipe: Any = None, **options: Any) -> Assignment:
    """A job on the folder ``tmp_path``."""
    return Assignment(
        job="job",
        subject=Subject("darts_v2", "published", source=source),
        recipe=recipe,
        data=DataSource("cells", version=str(tmp_path), root=tmp_path),
        seed=0,
        run_dir=tmp_path,
        workdir=tmp_path,
        options=options,
    )


def test_a_set_is_read_once_for_all_backbones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / part / name / "0.png" for part in ("train", "test") for name in "ab"):
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    reads = []
    real = classify.require_readable
    monkeypatch.setattr(classify, "require_readable", lambda *given: (reads.append(given), real(*given)))
    for size in (None, None, 16):
        recipe = RetrainRecipe(image_size=size)
        assert get_task("classify").missing(assignment(tmp_path, recipe=recipe)) == []
    assert len(reads) == 2  # once at each size


def test_an_unreadable_set_is_said_for_every_backbone(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(NaswildError, match="needs a folder of images per class"):
            get_task("classify").missing(assignment(tmp_path, recipe=RetrainRecipe()))


def test_a_timm_model_that_does_not_exist_is_said(tmp_path: Path) -> None:
    (found,) = get_task("classify").missing(assignment(tmp_path, "timm:resnet17"))
    assert "did you mean" in found


def test_an_option_about_the_machine_that_cannot_be_carried_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match="option accumulate of task classify"):
        get_task("classify").missing(assignment(tmp_path, recipe=RetrainRecipe(), accumulate=0))


def test_options_about_the_machine_reach_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas import train
    from nas.train_recipe import Execution

    seen = []
    real = train.train_classifier
    monkeypatch.setattr(train, "train_classifier", lambda *a, **o: (seen.append(o["execution"]), real(*a, **o))[1])
    for part, name, index in ((p, n, i) for p in ("train", "test") for n in "ab" for i in range(4)):
        path = tmp_path / part / name / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (40 * index, 20 * index, 10 * index)).save(path)
    recipe = RetrainRecipe(network={"channels": 4, "cells": 3}, epochs=1, batch_size=8, auxiliary_weight=0.0)
    task = get_task("classify")
    job = assignment(tmp_path, recipe=recipe, accumulate=2, workers=0, tensorboard=1)
    found = task.run(job)
    assert seen == [Execution(accumulate=2, workers=0)]
    assert found.details["execution"] == {"accumulate": 2, "workers": 0, "tensorboard": 1}
    assert list((tmp_path / "tensorboard" / "job").glob("events*"))
    assert task.variant(job.options) == {}


def test_an_option_that_no_data_has_is_said(tmp_path: Path) -> None:
    data = DataSource("cells", version="1", root=tmp_path, options={"corupt": "skip"})
    with pytest.raises(NaswildError, match="did you mean 'corrupt'"):
        open_proxy(data)


def test_detection_from_scratch_is_a_column_of_its_own() -> None:
    detect = get_task("detect")
    assert detect.target("bccd", {"split": "test"}) == "bccd"
    assert detect.target("bccd", {"split": "test", "weights": "none"}) == "bccd from scratch"
    assert detect.variant({"split": "test", "weights": "none"}) == {}


@pytest.mark.parametrize(("name", "value"), [("split", "train"), ("weights", "imagenet")])
def test_values_that_an_option_does_not_have_are_said(tmp_path: Path, name: str, value: str) -> None:
    pytest.importorskip("mmdet")
    (found,) = get_task("detect").missing(assignment(tmp_path, **{name: value}))
    assert f"not {value!r}" in found


def test_a_test_part_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    from detection.compose import make_digits_coco

    make_digits_coco(tmp_path, seed=0, train=2, val=2, image_size=96)
    detect = get_task("detect")
    assert detect.missing(assignment(tmp_path)) == []
    with pytest.raises(NaswildError, match="has no part 'test'"):
        detect.missing(assignment(tmp_path, split="test"))
