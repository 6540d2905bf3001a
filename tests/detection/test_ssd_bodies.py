"""``type="SSD"`` on backbones that are mmdet's own: levels measured, normalisation found, wrong inputs refused."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")

from mmdet.datasets.transforms import Expand
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from backbones.metadata import CellArchitecture, WeightsMetadata
from backbones.weights import save_weights
from detection.config import build_config
from detection.data import CocoData
from detection.fill import ZoomOutFill
from detection.recipe import DetectRecipe, Execution
from nas import build_network
from nas.errors import NaswildError

PYRAMID = {"type": "PyramidVisionTransformerV2", "embed_dims": 8, "num_layers": [1] * 4}
RESNET = {"type": "ResNet", "depth": 18, "base_channels": 8, "out_indices": (1, 2, 3), "style": "pytorch"}


@pytest.fixture(autouse=True, scope="module")
def registries() -> None:
    import_module("detection.mmdet_models")
    DefaultScope.get_instance("test_ssd_bodies", scope_name="mmdet")


def ssd(backbone: dict[str, Any], **options: Any) -> Any:
    defaults = {"num_classes": 3, "input_size": 96, "extra_channels": (16,)}
    return MODELS.build({"type": "SSD", "backbone": backbone, **defaults, **options})


@pytest.mark.parametrize(
    ("backbone", "channels", "sides"),
    [
        (RESNET, (16, 32, 64), (12, 6, 3)),
        ({"type": "MobileNetV2", "out_indices": (2, 4, 6), "widen_factor": 0.25}, (8, 24, 80), (12, 6, 3)),
        ({"type": "CSPNeXt", "deepen_factor": 0.2, "widen_factor": 0.125, "out_indices": (2, 3)}, (32, 64), (12, 6)),
        (
            {"type": "PyramidVisionTransformerV2", "embed_dims": 8, "num_layers": [1] * 4},
            (8, 16, 40, 64),
            (24, 12, 6, 3),
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_mmdets_backbones_are_measured(
    backbone: dict[str, Any], channels: tuple[int, ...], sides: tuple[int, ...]
) -> None:
    detector = ssd(backbone)
    assert detector.plan.channels[: len(channels)] == channels
    assert detector.plan.sides[: len(sides)] == sides
    with torch.no_grad():
        scores, _ = detector.eval()(torch.zeros(1, 3, 96, 96), mode="tensor")
    assert tuple(score.shape[-1] for score in scores) == detector.plan.sides
    assert detector.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert detector.data_preprocessor.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])


def test_measuring_leaves_the_backbones_statistics() -> None:
    detector = ssd(RESNET)
    assert detector.training
    statistics = [b for name, b in detector.backbone.named_buffers() if name.endswith("num_batches_tracked")]
    assert statistics and not any(int(count) for count in statistics)


def test_caffes_normalisation_must_be_given() -> None:
    caffe = RESNET | {"style": "caffe"}
    with pytest.raises(NaswildError, match="data_preprocessor"):
        ssd(caffe)
    given = {"type": "DetDataPreprocessor", "mean": [103.53, 116.28, 123.675], "std": [1.0] * 3, "bgr_to_rgb": False}
    assert ssd(caffe, data_preprocessor=given).data_preprocessor.mean.flatten().tolist()[0] == pytest.approx(103.53)


@pytest.mark.parametrize("shape", [(128, 128), (96, 64)])
def test_another_size_than_the_anchors_are_for_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(NaswildError, match=f"built for 96 x 96 pixels and was given {shape[0]} x {shape[1]}"):
        ssd(RESNET)(torch.zeros(1, 3, *shape), mode="tensor")


def test_falling_anchors_are_refused_from_a_config() -> None:
    with pytest.raises(NaswildError, match="must grow"):
        ssd(RESNET, anchors={"first": 0.3, "second": 0.2, "last": 0.9})


@pytest.mark.parametrize("wrapped", [False, True])
def test_zoom_out_fills_with_the_backbones_mean(wrapped: bool, tmp_path: Any) -> None:
    network = build_network("pdarts_cifar10", "imagenet", channels=4, cells=5, num_classes=2)
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=2, mean=(0.2, 0.4, 0.6))
    save_weights(tmp_path / "net.safetensors", network, metadata)
    detector = ssd({"type": "CellBackbone", "weights": str(tmp_path / "net.safetensors"), "out_indices": (1, 2, 3)})
    expand = Expand(mean=(123.675, 116.28, 103.53), to_rgb=True, ratio_range=(3, 3), prob=1.0)
    dataset: Any = SimpleNamespace(pipeline=Compose([]))
    dataset.pipeline.transforms.append(expand)
    if wrapped:
        dataset = SimpleNamespace(datasets=[SimpleNamespace(dataset=dataset)])
    loader = SimpleNamespace(dataset=dataset)
    ZoomOutFill().before_train(SimpleNamespace(model=detector, train_dataloader=loader))
    large = expand({"img": np.full((4, 4, 3), 255.0, np.float32), "gt_bboxes": np.zeros((0, 4), np.float32)})["img"]
    border = torch.from_numpy(large[(large != 255).any(-1)][:1]).view(1, 3, 1, 1)[0].repeat(1, 96, 96)
    seen = detector.data_preprocessor({"inputs": [border], "data_samples": None})["inputs"]
    assert seen.abs().max() < 1e-5  # zero after normalisation


def test_every_run_has_the_fill(digits: CocoData, tmp_path: Any) -> None:
    recipe, execution = DetectRecipe(), Execution()
    config = build_config({"type": "TinyBackbone"}, digits, recipe, execution, seed=0, workdir=tmp_path)
    base = Config.fromfile(Path(__file__).parents[2] / "detection" / "configs" / "_base_" / "ssd320.py")
    assert all({"type": "ZoomOutFill"} in hooks for hooks in (config.custom_hooks, base.custom_hooks))
