"""SSD around a backbone: predicts what the plan says, learns, and counts as Table 4 does."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

pytest.importorskip("mmdet")

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from backbones.metadata import CellArchitecture, TimmArchitecture, WeightsMetadata
from backbones.weights import save_weights
from detection.backbone import backbone_config
from detection.recipe import DetectRecipe
from nas.counting import count
from nas.errors import UnknownName
from nas.network import build_network


@pytest.fixture(autouse=True, scope="module")
def registries() -> None:
    import_module("detection.mmdet_models")
    DefaultScope.get_instance("test_ssd", scope_name="mmdet")


def ssd(genotype: str = "pdarts_cifar10", **options: Any) -> Any:
    backbone = {"type": "CellBackbone", "genotype": genotype, "channels": 4, "cells": 5, "out_indices": (1, 2, 3)}
    defaults = {"num_classes": 3, "input_size": 96, "extra_channels": (16,)}
    return MODELS.build({"type": "SSD", "backbone": backbone, **defaults, **options})


def samples(boxes: list[list[float]], labels: list[int], size: int) -> DetDataSample:
    sample = DetDataSample(gt_instances=InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels)))
    shape = (size, size)
    sample.set_metainfo(
        {"img_shape": shape, "pad_shape": shape, "batch_input_shape": shape, "ori_shape": shape, "scale_factor": (1, 1)}
    )
    return sample


def test_there_are_as_many_scores_as_anchors() -> None:
    detector = ssd().eval()
    scores, offsets = detector(torch.zeros(2, 3, 96, 96), mode="tensor")
    plan = detector.plan
    for score, offset, side, ratios in zip(scores, offsets, plan.sides, plan.ratios, strict=True):
        anchors = 2 + 2 * len(ratios)
        assert score.shape == (2, anchors * 4, side, side)  # 3 classes and background
        assert offset.shape == (2, anchors * 4, side, side)
    anchors = detector.bbox_head.prior_generator.grid_priors([(s, s) for s in plan.sides], device="cpu")
    assert [len(level) for level in anchors] == [o.shape[1] // 4 * o.shape[2] ** 2 for o in offsets]


def test_anchors_are_centred_on_their_cells() -> None:
    detector = ssd()
    anchors = detector.bbox_head.prior_generator.grid_priors([(s, s) for s in detector.plan.sides], device="cpu")
    first = anchors[0][0]
    assert ((first[:2] + first[2:]) / 2).tolist() == [4.0, 4.0]
    assert (first[2:] - first[:2]).tolist() == pytest.approx([0.07 * 96] * 2, abs=0.01)
    last = anchors[-1][0]
    assert ((last[:2] + last[2:]) / 2).tolist() == [48.0, 48.0]


def test_steps_of_training_lower_the_loss_and_reach_every_weight() -> None:
    torch.manual_seed(0)
    detector = ssd().train()
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    image = torch.randn(4, 3, 96, 96)
    truth = [samples([[10.0 * i, 8, 10.0 * i + 40, 60]], [i % 3], 96) for i in range(4)]
    losses = []
    for _ in range(8):
        total, _ = detector.parse_losses(detector(image, truth, mode="loss"))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert [name for name, parameter in detector.named_parameters() if parameter.grad is None] == []


def test_prediction_gives_boxes_inside_the_image() -> None:
    detector = ssd(test_cfg={"score_thr": 0.0}).eval()
    with torch.no_grad():
        (found,) = detector(torch.randn(1, 3, 96, 96), [samples([[0.0, 0, 9, 9]], [0], 96)], mode="predict")
    boxes = found.pred_instances.bboxes
    assert len(boxes)
    assert boxes.min() >= 0
    assert boxes.max() <= 96


def test_normalisation_is_the_backbones_own() -> None:
    detector = ssd()
    assert detector.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert detector.data_preprocessor.std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])


def test_ssdlite_has_fewer_weights_in_its_head() -> None:
    plain, lite = ssd(), ssd(depthwise=True)
    assert count_of(lite.bbox_head) < count_of(plain.bbox_head)
    assert count_of(lite.neck) < count_of(plain.neck)


def count_of(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("size", "billions"), [(320, 1.14), (512, 2.91)])
def test_backbone_multiply_adds_are_those_of_table_4(size: int, billions: float) -> None:
    """Table 4 prints 1.1 B and 2.9 B, which is Table 3's 557 M scaled by the area of the input."""
    backbone = MODELS.build(backbone_config("pdarts_cifar10", DetectRecipe()))
    assert count(backbone, size, convention="paper").macs / 1e9 == pytest.approx(billions, abs=0.015)


@pytest.mark.parametrize("kind", ["cell", "timm"])
def test_from_scratch_is_the_same_network_without_its_weights(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "net.safetensors"
    if kind == "cell":
        network: Any = build_network("darts_v2", "imagenet", channels=4, cells=5, num_classes=2)
        architecture: Any = CellArchitecture.of(network.body)
    else:
        network, architecture = timm.create_model("test_resnet", num_classes=2), TimmArchitecture(name="test_resnet")
    save_weights(path, network, WeightsMetadata(architecture=architecture, num_classes=2))
    pretrained, scratch = (
        MODELS.build(backbone_config(str(path), DetectRecipe(), pretrained)) for pretrained in (True, False)
    )
    assert pretrained.load_report.matched > 0
    assert scratch.load_report is None
    shapes, others = ({k: v.shape for k, v in net.state_dict().items()} for net in (pretrained, scratch))
    assert shapes == others
    assert any(not torch.equal(v, scratch.state_dict()[k]) for k, v in pretrained.state_dict().items())


def test_any_source_names_a_backbone() -> None:
    recipe = DetectRecipe()
    assert backbone_config("pdarts_cifar10", recipe)["type"] == "CellBackbone"
    assert backbone_config("timm:resnet18", recipe)["name"] == "resnet18"
    assert backbone_config("resnet18", recipe)["type"] == "TimmBackbone"
    with pytest.raises(UnknownName, match="pdarts_cifar10"):
        backbone_config("pdarts_cifar1", recipe)


def test_a_weights_file_is_loaded_strictly_and_reported(tmp_path: Any) -> None:
    from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
    from nas import build_network

    network = build_network("pdarts_cifar10", "imagenet", channels=4, cells=5, num_classes=7)
    path = tmp_path / "cells.safetensors"
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=7, mean=(0.3, 0.3, 0.3))
    save_weights(path, network, metadata)
    detector = MODELS.build({"type": "SSD", "backbone": backbone_config(path, DetectRecipe()), "input_size": 96})
    report = detector.backbone.load_report
    assert report.matched == len(detector.backbone.state_dict())
    assert torch.equal(
        detector.backbone.state_dict()["body.stem0.0.weight"], network.state_dict()["body.stem0.0.weight"]
    )
    assert detector.data_preprocessor.mean.flatten().tolist() == pytest.approx([76.5] * 3)
