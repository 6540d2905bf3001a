"""A trained detector is scored alone as after its training, and writes the file that COCO's server takes."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")

from detection.data import CocoData, CocoSplit
from detection.evaluate import evaluate_detector, write_submission
from detection.recipe import DetectRecipe
from detection.train import DetectOutcome, run_detection
from nas.errors import NaswildError
from nas.progress import Progress


@pytest.fixture(scope="module")
def trained(
    tiny_backbone: str, digits: CocoData, quick: DetectRecipe, tmp_path_factory: pytest.TempPathFactory
) -> DetectOutcome:
    recipe = quick.model_copy(update={"learning_rate": 0.05, "score_threshold": 0.0})
    return run_detection(tiny_backbone, digits, recipe, seed=5, workdir=tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def like_coco(digits: CocoData, tmp_path_factory: pytest.TempPathFactory) -> CocoData:
    """The digits laid out as COCO 2017, with a test-dev part whose boxes nobody has."""
    root = tmp_path_factory.mktemp("coco")
    (root / "annotations").mkdir()
    for part in ("train", "val"):
        split = digits.split(part)
        shutil.copy(split.annotations, root / "annotations" / f"instances_{part}2017.json")
        shutil.copytree(split.images, root / f"{part}2017")
    content = json.loads(digits.val.annotations.read_text())
    del content["annotations"]
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(content))
    shutil.copytree(digits.val.images, root / "test2017")
    return CocoData.open(root)


def test_the_score_alone_is_the_score_of_the_run(trained: DetectOutcome, digits: CocoData) -> None:
    seen: list[Progress] = []
    found = evaluate_detector(trained.detector, digits, report=seen.append)
    assert found.scores is not None
    assert {name: found.scores.stats[name] for name in trained.metrics} == trained.metrics
    assert found.scores.per_class == trained.per_class
    assert found.images == 6
    assert (seen[-1].stage, seen[-1].step) == ("evaluate", seen[-1].steps)


def test_the_submission_holds_what_was_detected_under_cocos_name(
    trained: DetectOutcome, like_coco: CocoData, digits: CocoData, tmp_path: Path
) -> None:
    from detection.coco_eval import evaluate_coco

    outcome = write_submission(trained.detector, like_coco, tmp_path, "pdarts-ssd320")
    assert outcome.submission == tmp_path / "detections_test-dev2017_pdarts-ssd320_results.json"
    rows = json.loads(outcome.submission.read_text())
    assert set(rows[0]) == {"image_id", "category_id", "bbox", "score"}
    with zipfile.ZipFile(tmp_path / "detections_test-dev2017_pdarts-ssd320_results.zip") as archive:
        assert archive.namelist() == [outcome.submission.name]
    assert len(list(tmp_path.iterdir())) == 2
    # The images are those of the validation part, whose boxes are known: the server would find these numbers.
    found = np.array([[r["image_id"], *r["bbox"], r["score"], r["category_id"]] for r in rows])
    scores = evaluate_coco(digits.val.read(), found)
    assert scores.stats["AP"] == pytest.approx(trained.metrics["AP"], abs=1e-6)


def test_a_part_without_boxes_cannot_be_scored(trained: DetectOutcome, like_coco: CocoData) -> None:
    with pytest.raises(NaswildError, match="no boxes to score with"):
        evaluate_detector(trained.detector, like_coco, split="test")


def test_other_classes_are_refused(trained: DetectOutcome, digits: CocoData, tmp_path: Path) -> None:
    content = json.loads(digits.val.annotations.read_text())
    content["categories"][0]["name"] = "another"
    (tmp_path / "val.json").write_text(json.dumps(content))
    other = CocoSplit(annotations=tmp_path / "val.json", images=digits.val.images)
    with pytest.raises(NaswildError, match="trained on other classes"):
        evaluate_detector(trained.detector, digits.model_copy(update={"val": other}))


def without_names(detector: Path, folder: Path) -> Path:
    """A copy of a checkpoint that does not say what its labels mean, with its config."""
    state = torch.load(detector, weights_only=True)
    torch.save({"state_dict": state["state_dict"]}, folder / "detector.pth")
    shutil.copy(detector.with_name("config.json"), folder)
    return folder / "detector.pth"


def test_a_checkpoint_without_names_is_refused_until_it_is_told_them(
    trained: DetectOutcome, digits: CocoData, tmp_path: Path
) -> None:
    """In the data's order by the command that the refusal shows; in another order the boxes count as others."""
    nameless = without_names(trained.detector, tmp_path)
    with pytest.raises(NaswildError, match=r"-o classes=0,1,2,3,4,5,6,7,8,9 ") as refused:
        evaluate_detector(nameless, digits)
    assert "does not say which classes" in str(refused.value)
    told = evaluate_detector(nameless, digits, classes=list("0123456789"))
    assert told.scores is not None
    assert {name: told.scores.stats[name] for name in trained.metrics} == trained.metrics
    turned = evaluate_detector(nameless, digits, classes=list(reversed(digits.classes)))
    assert turned.scores is not None
    assert turned.scores.stats != told.scores.stats


def test_told_classes_must_be_the_datas_and_unknown(trained: DetectOutcome, digits: CocoData, tmp_path: Path) -> None:
    nameless = without_names(trained.detector, tmp_path)
    with pytest.raises(NaswildError, match="trained on other classes"):
        evaluate_detector(nameless, digits, classes="a,b")
    with pytest.raises(NaswildError, match="names its classes itself"):
        evaluate_detector(trained.detector, digits, classes=digits.classes)


@pytest.mark.parametrize(
    ("name", "message"), [("config.json", "is not a detector's checkpoint"), ("none.pth", "does not exist")]
)
def test_what_is_no_detector_is_said(trained: DetectOutcome, digits: CocoData, name: str, message: str) -> None:
    with pytest.raises(NaswildError, match=message):
        evaluate_detector(trained.detector.with_name(name), digits)


def test_a_missing_config_is_said(trained: DetectOutcome, digits: CocoData, tmp_path: Path) -> None:
    alone = tmp_path / "detector.pth"
    shutil.copy(trained.detector, alone)
    with pytest.raises(NaswildError, match="no config"):
        evaluate_detector(alone, digits)
    found = evaluate_detector(alone, digits, config=trained.config)
    assert found.scores is not None
    assert found.scores.stats["AP"] == trained.metrics["AP"]


def test_a_name_that_would_leave_the_folder_is_refused(
    trained: DetectOutcome, like_coco: CocoData, tmp_path: Path
) -> None:
    with pytest.raises(NaswildError, match="letters, digits"):
        write_submission(trained.detector, like_coco, tmp_path, "../mine")
