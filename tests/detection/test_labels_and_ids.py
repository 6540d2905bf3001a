"""A score depends on boxes and names alone: not on the order of categories, nor on the ids of anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_boxes import detections_of, truth_of

pytest.importorskip("mmdet")

from mmengine.config import Config

from detection.annotations import read_annotations
from detection.coco_eval import evaluate_coco
from detection.data import CocoData, CocoSplit
from detection.evaluate import evaluate_detector, write_submission
from detection.guard import RunGuard
from detection.recipe import DetectRecipe
from detection.resample import resample_ap
from detection.train import DetectOutcome, run_detection
from nas.errors import NaswildError

Content = dict[str, Any]


def permuted_categories(content: Content) -> None:
    """Another order, other ids: 1, 2, 3 become 70, 60, 50."""
    ids = {
        category["id"]: 10 * (len(content["categories"]) + 4 - i) for i, category in enumerate(content["categories"])
    }
    content["categories"] = content["categories"][3:] + content["categories"][2::-1]
    for entry in content["categories"]:
        entry["id"] = ids[entry["id"]]
    for entry in content["annotations"]:
        entry["category_id"] = ids[entry["category_id"]]


def ids_from_zero(content: Content) -> None:
    for number, entry in enumerate(content["annotations"]):
        entry["id"] = number


def large_image_ids(content: Content) -> None:
    """Neighbours that float64 cannot tell apart, and one small id among them."""
    ids = {image["id"]: 2**53 + i for i, image in enumerate(content["images"])}
    ids[content["images"][0]["id"]] = 1
    for image in content["images"]:
        image["id"] = ids[image["id"]]
    for entry in content["annotations"]:
        entry["image_id"] = ids[entry["image_id"]]


CHANGES: dict[str, Callable[[Content], None]] = {
    "categories": permuted_categories,
    "annotation ids": ids_from_zero,
    "image ids": large_image_ids,
}


def random_set() -> tuple[Content, np.ndarray]:
    truth = truth_of(images=12, classes=3, boxes=6, seed=3)
    return truth, detections_of(truth, seed=4)


def variant(data: CocoData, folder: Path, change: Callable[[Content], None]) -> CocoData:
    """The same data with changed validation annotations."""
    content = json.loads(data.val.annotations.read_text())
    change(content)
    path = folder / "instances_val.json"
    path.write_text(json.dumps(content))
    return data.model_copy(update={"val": CocoSplit(annotations=path, images=data.val.images)})


@pytest.fixture(scope="module")
def trainable(quick: DetectRecipe) -> DetectRecipe:
    return quick.model_copy(update={"learning_rate": 0.05, "score_threshold": 0.0})


@pytest.fixture(scope="module")
def trained(
    tiny_backbone: str, digits: CocoData, trainable: DetectRecipe, tmp_path_factory: pytest.TempPathFactory
) -> DetectOutcome:
    return run_detection(tiny_backbone, digits, trainable, seed=5, workdir=tmp_path_factory.mktemp("trained"))


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_scores_the_same_whatever_order_and_ids_val_has(
    change: str, trained: DetectOutcome, digits: CocoData, trainable: DetectRecipe, tmp_path: Path
) -> None:
    found = run_detection("tiny", variant(digits, tmp_path, CHANGES[change]), trainable, seed=5, workdir=tmp_path)
    assert trained.metrics["AP"] > 0
    assert found.metrics == pytest.approx(trained.metrics, abs=1e-12)
    for name, figures in trained.per_class.items():
        assert found.per_class[name] == pytest.approx(figures, abs=1e-12), name
    assert found.resampled is not None
    assert trained.resampled is not None
    np.testing.assert_allclose(found.resampled.values["AP"][0], trained.resampled.values["AP"][0], atol=1e-12)


@pytest.mark.parametrize("change", CHANGES)
def test_a_detector_alone_scores_the_same_too(
    change: str, trained: DetectOutcome, digits: CocoData, tmp_path: Path
) -> None:
    scores = evaluate_detector(trained.detector, variant(digits, tmp_path, CHANGES[change])).scores
    assert scores is not None
    assert {name: scores.stats[name] for name in trained.metrics} == pytest.approx(trained.metrics, abs=1e-12)


def test_a_submission_has_the_ids_of_the_file(trained: DetectOutcome, digits: CocoData, tmp_path: Path) -> None:
    data = variant(digits, tmp_path, large_image_ids)
    file = write_submission(trained.detector, data, tmp_path / "out", "tiny", split="val").submission
    assert file is not None
    named = {entry["image_id"] for entry in json.loads(file.read_text())}
    assert named == {image["id"] for image in json.loads(data.val.annotations.read_text())["images"]}


@pytest.mark.parametrize("name", ["unknown", "missing"])
def test_other_names_in_val_are_refused(name: str, digits: CocoData, quick: DetectRecipe, tmp_path: Path) -> None:
    def change(content: Content) -> None:
        if name == "unknown":
            content["categories"][0]["name"] = "zebra"
        else:
            gone = content["categories"].pop()["id"]
            content["annotations"] = [entry for entry in content["annotations"] if entry["category_id"] != gone]

    data = variant(digits, tmp_path, change)
    with pytest.raises(NaswildError, match="categories differ") as caught:
        run_detection("tiny", data, quick, seed=5, workdir=tmp_path)
    assert ("'zebra'" if name == "unknown" else repr(digits.classes[-1])) in str(caught.value)


def test_mmdets_dataset_says_which_class_a_part_lacks(digits: CocoData, tmp_path: Path) -> None:
    from detection.dataset import CocoFormatDataset

    data = variant(digits, tmp_path, lambda content: content["categories"][0].update(name="zebra"))
    with pytest.raises(NaswildError, match=r"no category '.*', which the training set has"):
        CocoFormatDataset(ann_file=str(data.val.annotations), metainfo={"classes": digits.classes}, test_mode=True)


def test_mmdets_own_tools_are_stopped_where_val_numbers_its_classes_otherwise(
    digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    """A config that names no classes: each part numbers by its own file."""
    from detection.config import build_config
    from detection.recipe import Execution
    from detection.runner import QuietRunner

    data = variant(digits, tmp_path, permuted_categories)
    config = build_config({"type": "TinyBackbone"}, data, quick, Execution(), seed=0, workdir=tmp_path)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.metainfo = None
    config.experiment_name = "other_order"
    with pytest.raises(NaswildError, match="labels mean other classes here than in the training set"):
        QuietRunner.from_cfg(config).train()


def test_testing_a_checkpoint_of_another_order_is_stopped(
    trained: DetectOutcome, digits: CocoData, tmp_path: Path
) -> None:
    from mmengine.runner import Runner

    data = variant(digits, tmp_path, permuted_categories)
    config = Config.fromfile(trained.config)
    config.test_dataloader.dataset |= {"ann_file": str(data.val.annotations), "metainfo": None}
    config.test_evaluator.ann_file = str(data.val.annotations)
    settings = {key: config[key] for key in ("model", "test_dataloader", "test_cfg", "test_evaluator", "default_scope")}
    hooks = {"guard": {"type": "RunGuard"}}
    runner = Runner.from_cfg(
        settings
        | {"work_dir": str(tmp_path), "experiment_name": "test_other_order", "default_hooks": hooks}
        | {"launcher": "none", "load_from": str(trained.detector)}
    )
    with pytest.raises(NaswildError, match="labels mean other classes here than in the checkpoint"):
        runner.test()


def test_our_configs_have_the_guard_where_custom_hooks_do_not_reach_it() -> None:
    folder = Path(__file__).parents[2] / "detection" / "configs"
    for path in folder.glob("*.py"):
        if "vgg16" not in path.stem:  # these are mmdetection's own
            assert Config.fromfile(path).default_hooks.guard.type == RunGuard.__name__, path


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
def test_id_0_is_matched_like_any_other(engine: Any) -> None:
    """Against pycocotools on ids from 1, the numbering that it is written for."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, detections = random_set()
    for number, entry in enumerate(truth["annotations"]):
        entry["id"] = number + 1
    reference = COCO()
    reference.dataset = json.loads(json.dumps(truth))
    reference.createIndex()
    evaluation = COCOeval(reference, reference.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    for entry in truth["annotations"]:
        entry["id"] -= 1
    scores = evaluate_coco(truth, detections, engine=engine)
    assert list(scores.stats.values()) == pytest.approx(evaluation.stats.tolist(), abs=1e-12)
    each_once = np.ones((1, len(truth["images"])), dtype=np.int32)
    resampled = resample_ap(truth, detections, engine=engine, counts=each_once)
    assert resampled.values["AP"][0] == pytest.approx(evaluation.stats[0], abs=1e-12)


def test_the_truth_is_left_as_it_was_given() -> None:
    truth, detections = random_set()
    before = json.dumps(truth)
    for engine in ("hotcoco", "pycocotools"):
        evaluate_coco(truth, detections, engine=engine)  # type: ignore[arg-type]
    assert json.dumps(truth) == before


def test_large_image_ids_are_numbered_anew_and_kept(digits: CocoData, tmp_path: Path) -> None:
    data = variant(digits, tmp_path, large_image_ids)
    of_file = [image["id"] for image in json.loads(data.val.annotations.read_text())["images"]]
    images = read_annotations(data.val.annotations)["images"]
    assert [image["file_id"] for image in images] == of_file
    assert len({float(image["id"]) for image in images}) == len(of_file)
    assert {image["id"] for image in images if image["file_id"] <= 2**53} == {1}


def test_rows_for_image_ids_that_they_cannot_hold_are_refused() -> None:
    truth, detections = random_set()
    truth["images"][0]["id"] = 2**53 + 1
    with pytest.raises(NaswildError, match="above 2\\^53"):
        evaluate_coco(truth, detections)
