"""Other detectors of mmdet train a step and predict with one of our backbones, on the stand-in for mmcv's kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from backbones.mmdet_config import load_config, rewrite_channels
from detection import mmdet_models

assert mmdet_models  # its import fills the registries
SIZE = 96
RESNET = (256, 512, 1024, 2048)
# mmdet's config, and the channels of its own backbone that neck and heads repeat.
DETECTORS = {
    "retinanet": ("retinanet_r50_fpn_1x_coco", RESNET),
    "fcos": ("fcos_r50-caffe_fpn_gn-head_1x_coco", RESNET),
    "atss": ("atss_r50_fpn_1x_coco", RESNET),
    "faster_rcnn": ("faster-rcnn_r50_fpn_1x_coco", RESNET),
    "mask_rcnn": ("mask-rcnn_r50_fpn_1x_coco", RESNET),
    "soft_nms": ("faster-rcnn_r50_fpn_soft-nms_1x_coco", RESNET),
    "nms_match": ("faster-rcnn_r50_fpn_pisa_1x_coco", RESNET),
    "rtmdet": ("rtmdet_tiny_8xb32-300e_coco", (96, 192, 384)),
    "deformable_detr": ("deformable-detr_r50_16xb2-50e_coco", RESNET[1:]),
}


def sample(with_masks: bool) -> DetDataSample:
    truth = InstanceData(bboxes=torch.tensor([[8.0, 10, 60, 70], [40.0, 30, 90, 88]]), labels=torch.tensor([3, 17]))
    if with_masks:
        truth.masks = BitmapMasks(np.ones((2, SIZE, SIZE), dtype=np.uint8), SIZE, SIZE)
    shape = (SIZE, SIZE)
    meta = {"img_shape": shape, "pad_shape": shape, "batch_input_shape": shape, "ori_shape": shape, "img_id": 1}
    return DetDataSample(gt_instances=truth, metainfo=meta | {"scale_factor": (1.0, 1.0)})


def build(name: str) -> Any:
    """The detector of mmdet's config on a network of five small cells."""
    config, channels = DETECTORS[name]
    model = load_config(config).model
    levels = tuple(range(4 - len(channels), 4))
    model.backbone = {"type": "CellBackbone", "genotype": "darts_v2", "channels": 4, "cells": 5, "out_indices": levels}
    assert rewrite_channels(model, channels, [(4, 16, 32, 64)[level] for level in levels])
    DefaultScope.get_instance(f"test_detectors_{name}", scope_name="mmdet")
    detector = MODELS.build(model)
    detector.init_weights()
    return detector


@pytest.mark.filterwarnings("ignore")  # mmdet's own deprecations, detector by detector
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_trains_a_step_and_predicts(name: str) -> None:
    torch.manual_seed(0)
    detector = build(name).train()
    image = torch.randn(2, 3, SIZE, SIZE)
    samples = [sample(with_masks=name == "mask_rcnn") for _ in range(2)]
    loss, _ = detector.parse_losses(detector(image, samples, mode="loss"))
    assert torch.isfinite(loss)
    loss.backward()
    reached = [p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in detector.backbone.parameters()]
    assert any(reached)
    torch.optim.SGD(detector.parameters(), 1e-4).step()
    detector.eval()
    with torch.no_grad():
        (found,) = detector(image[:1], samples[:1], mode="predict")
    boxes = found.pred_instances.bboxes
    assert boxes.shape[1] == 4
    assert torch.isfinite(boxes).all()
    if name == "mask_rcnn":
        assert found.pred_instances.masks.shape[1:] == (SIZE, SIZE)
