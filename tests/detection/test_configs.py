"""The shipped configs are plain mmdet configs: its own tools train, resume and test them."""

from __future__ import annotations

import json
import re
import runpy
import sys
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

pytest.importorskip("mmdet")

import mmdet
from mmengine.config import Config
from mmengine.registry import DefaultScope

from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
from detection.config import train_pipeline
from detection.data import CocoData
from detection.recipe import DetectorShape, DetectRecipe
from nas import build_network

CONFIGS = Path(__file__).parents[2] / "detection" / "configs"
PROTOCOLS = Path(__file__).parents[2] / "benchmarks" / "protocols"
FACTS = Path(__file__).parents[2] / "benchmarks" / "facts" / "published.yaml"
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
model = dict(num_classes=10, extra_channels=(16,), backbone=dict(
    channels=4, cells=5, init_cfg=dict(checkpoint="{root}/net.safetensors")))
train_cfg = dict(max_epochs={epochs}, val_interval=1)
default_hooks = dict(checkpoint=dict(save_best="coco/bbox_mAP"))
"""


def header_of(path: Path) -> str:
    """The comment that a config begins with."""
    return "".join(takewhile(lambda line: line.startswith("#"), path.read_text().splitlines(keepends=True)))


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


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda p: p.stem)
def test_every_header_gives_command_time_and_expected_ap(path: Path) -> None:
    header = header_of(path)
    assert header.startswith("# SSD")
    assert f"python tools/train.py {path.name}" in header
    for word in ("Expected: ", "Time: ", "Open choices: "):
        assert word in header, word


@pytest.mark.parametrize("network", ["DARTS", "P-DARTS (CIFAR10)", "VGG-16", "ResNet-101"])
def test_the_expected_ap_is_table_4s(network: str) -> None:
    published = yaml.safe_load(FACTS.read_text())["table4"]["rows"]
    stems = {"DARTS": "darts_v2", "P-DARTS (CIFAR10)": "pdarts_cifar10", "VGG-16": "vgg16", "ResNet-101": "resnet101"}
    for _, size, backbone, _, ap, ap50, *_ in published:
        if backbone == network:
            assert f"AP {ap}, AP50 {ap50}" in header_of(CONFIGS / f"ssd{size}_{stems[network]}.py")


@pytest.mark.parametrize("size", [320, 512])
def test_the_base_says_every_open_choice_with_its_reason(size: int) -> None:
    """The lines are those of the protocol, which names what it takes from SSD320's."""
    protocol = (PROTOCOLS / f"detect-ssd{size}.yaml").read_text()
    choice = re.compile(r"^#   ([a-z][a-z ]{11}) \S", re.MULTILINE)
    assert len(choice.findall(protocol)) >= 3
    assert choice.findall(header_of(CONFIGS / "_base_" / f"ssd{size}.py")) == choice.findall(protocol)


def test_a_config_trains_resumes_and_tests_with_mmdets_tools(digits: CocoData, tmp_path: Path) -> None:
    root = digits.train.annotations.parents[1]
    work, path = tmp_path / "work", tmp_path / "small.py"
    network = build_network("pdarts_cifar10", "imagenet", channels=4, cells=5, num_classes=2)
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=2)
    save_weights(root / "net.safetensors", network, metadata)
    for epochs in (1, 2):
        path.write_text(SMALL.format(base=CONFIGS / "ssd320_pdarts_cifar10.py", root=root, epochs=epochs))
        run_tool("train.py", str(path), "--work-dir", str(work), *(["--resume"] if epochs == 2 else []))
    assert sorted(p.name for p in work.glob("epoch*.pth")) == ["epoch_1.pth", "epoch_2.pth"]
    assert len(list(work.glob("best_coco_bbox_mAP_epoch_*.pth"))) == 1
    logs = "".join(log.read_text() for log in work.glob("*/*.log"))
    assert "net.safetensors: " in logs
    assert "tensors matched, 0 missing, 0 unexpected" in logs
    run_tool("test.py", str(path), str(work / "epoch_2.pth"), "--work-dir", str(tmp_path / "test"))
    (scores,) = (tmp_path / "test").glob("*/*.json")
    metrics = json.loads(scores.read_text())
    assert {"coco/bbox_mAP", "coco/bbox_mAP_50", "coco/bbox_mAP_l"} <= set(metrics)


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
