"""The shipped configs are plain mmdet configs: its own tools train, resume and test them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

pytest.importorskip("mmdet")

import mmdet
from mmengine.config import Config
from mmengine.registry import DefaultScope

from detection.config import train_pipeline
from detection.data import CocoData
from detection.recipe import DetectorShape, DetectRecipe

CONFIGS = Path(__file__).parents[2] / "detection" / "configs"
TOOLS = Path(mmdet.__file__).parent / ".mim" / "tools"

# What shrinks a config for COCO to one that trains in a second on six images.
SMALL = """
_base_ = ["{base}"]
data_root = "{root}/"
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(
    data_root=data_root, ann_file="annotations/instances_train.json", data_prefix=dict(img="train/")))
val_dataloader = dict(num_workers=0, dataset=dict(
    data_root=data_root, ann_file="annotations/instances_val.json", data_prefix=dict(img="val/")))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "annotations/instances_val.json")
test_evaluator = val_evaluator
model = dict(num_classes=10, extra_channels=(16,), backbone=dict(channels=4, cells=5, init_cfg=None))
train_cfg = dict(max_epochs={epochs})
"""


def run_tool(name: str, *arguments: str) -> None:
    """One of mmdet's own command-line tools, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(TOOLS / name), run_name="__main__")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda p: p.stem)
def test_every_config_builds_the_detector_it_names(path: Path) -> None:
    from mmdet.registry import MODELS

    config = Config.fromfile(path)
    DefaultScope.get_instance(f"test_configs_{path.stem}", scope_name="mmdet")
    config.model.backbone.pop("pretrained", None)  # nothing is fetched in a test
    detector = MODELS.build(config.model)
    assert detector.bbox_head.num_classes == 80
    size = 300 if "300" in path.stem else 320 if "320" in path.stem else 512
    resize = next(step for step in config.val_dataloader.dataset.pipeline if step.type == "Resize")
    assert tuple(resize.scale) == (size, size)
    assert config.val_evaluator.type == "FastCocoMetric"
    assert path.read_text().startswith("# SSD")


def test_a_config_trains_resumes_and_tests_with_mmdets_tools(digits: CocoData, tmp_path: Path) -> None:
    root = digits.train.annotations.parents[1]
    work, path = tmp_path / "work", tmp_path / "small.py"
    for epochs in (1, 2):
        path.write_text(SMALL.format(base=CONFIGS / "ssd320_pdarts_cifar10.py", root=root, epochs=epochs))
        run_tool("train.py", str(path), "--work-dir", str(work), *(["--resume"] if epochs == 2 else []))
    assert sorted(p.name for p in work.glob("*.pth")) == ["epoch_1.pth", "epoch_2.pth"]
    run_tool("test.py", str(path), str(work / "epoch_2.pth"), "--work-dir", str(tmp_path / "test"))
    (scores,) = (tmp_path / "test").glob("*/*.json")
    metrics = json.loads(scores.read_text())
    assert {"coco/AP", "coco/AP50", "coco/ARL"} <= set(metrics)


def test_the_configs_are_the_protocols_recipe() -> None:
    """One set of choices: what mmdet's tools train is what `naswild` trains."""
    recipe = DetectRecipe()
    config = Config.fromfile(CONFIGS / "ssd320_pdarts_cifar10.py")
    assert config.train_dataloader.dataset.pipeline == train_pipeline(recipe)
    assert config.train_cfg.max_epochs == recipe.epochs
    assert config.optim_wrapper.optimizer == {
        "type": "SGD",
        "lr": recipe.learning_rate,
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
    }
    assert tuple(config.param_scheduler[1].milestones) == recipe.milestones
    assert config.param_scheduler[0].end == recipe.warmup_steps
    assert tuple(config.model.extra_channels) == recipe.shape.extra_channels
    for path, shape in (("ssd320", DetectorShape()), ("ssd512", DetectorShape(anchor_first=0.04, anchor_second=0.1))):
        anchors = Config.fromfile(CONFIGS / f"{path}_pdarts_cifar10.py").model.anchors
        assert anchors == {"first": shape.anchor_first, "second": shape.anchor_second, "last": shape.anchor_last}
