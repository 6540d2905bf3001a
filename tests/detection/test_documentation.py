"""The page on detection is true: its config and its script run, its tables name the configs and say their numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmdet")

from mmdet.registry import MODELS
from mmengine.config import Config

from backbones.mmdet_config import mmdet_scope
from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
from detection.compose import make_digits_coco
from detection.recipe import DetectorShape, DetectRecipe
from nas import build_network

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")


def block(word: str) -> str:
    """The only Python block of the page that holds ``word``."""
    (found,) = (text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in text)
    return found


@pytest.fixture(autouse=True)
def _files_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the page speaks of, in the working directory."""
    monkeypatch.chdir(tmp_path)
    network = build_network("pdarts_cifar10", "imagenet", 4, 5, num_classes=3)
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=3)
    for name in ("mine", "pdarts_cifar10"):
        save_weights(f"{name}.safetensors", network, metadata)
    make_digits_coco("data/coco", train=8, val=4, image_size=96)


def test_the_config_of_ones_own_is_a_detector(tmp_path: Path) -> None:
    (tmp_path / "my_config.py").write_text(
        block("_base_").replace("detection/configs", str(ROOT / "detection/configs"))
    )
    config = Config.fromfile(tmp_path / "my_config.py")
    with mmdet_scope():
        detector = MODELS.build(config.model)
    assert detector.backbone.load_report.matched == len(detector.backbone.state_dict())
    assert detector.bbox_head.num_classes == 3
    assert config.train_dataloader.dataset.data_root == config.val_dataloader.dataset.data_root == "data/mine/"
    base = Config.fromfile(ROOT / "detection" / "configs" / "_base_" / "ssd320.py")
    assert config.custom_hooks[:-1] == base.custom_hooks
    assert config.custom_hooks[-1].type == "EMAHook"


def test_the_script_trains(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shape = DetectorShape(extra_channels=(16,))
    small = DetectRecipe(input_size=64, shape=shape, epochs=1, milestones=(), batch_size=4, warmup_steps=0)
    monkeypatch.setattr("detection.DetectRecipe", lambda: small, raising=False)
    names: dict[str, Any] = {}
    exec(block("run_detection"), names)
    assert len(names["found"].history) == 1
    assert "AP50" in capsys.readouterr().out


def test_every_config_is_in_the_table() -> None:
    named = set(re.findall(r"`(ssd\w+\.py)`", PAGE))
    assert named == {path.name for path in (ROOT / "detection" / "configs").glob("*.py")}


def test_the_expected_ap_is_that_of_the_headers() -> None:
    for line in re.findall(r"^\| (`ssd\d.*)$", PAGE, re.MULTILINE):
        configs, figures = re.findall(r"`(\w+\.py)`", line), re.findall(r"([\d.]+), ([\d.]+)", line)
        for config, (ap, ap50) in zip(configs, figures, strict=True):
            assert f"AP {ap}, AP50 {ap50}" in (ROOT / "detection" / "configs" / config).read_text()
