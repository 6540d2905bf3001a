"""Swapping the backbone of mmdet configs: the new config is whole, runs under plain mmdet, and says what changed."""

from __future__ import annotations

import urllib.request

import pytest
import torch

from backbones.weights import CellArchitecture, TimmArchitecture, WeightsMetadata, save_weights
from nas import build_network, zoo
from nas.errors import NaswildError, UnknownName
from nas.genotype import Genotype

pytest.importorskip("mmdet")

from mmdet.testing._utils import demo_mm_inputs
from mmengine.config import Config
from mmengine.registry import DefaultScope

from backbones.mmdet_config import build, measure, mmdet_scope, rewrite_channels
from backbones.offline import WouldDownload, without_downloads
from backbones.swap import swap
from tests.backbones.mmdet_zoo import outcome, shipped

DETECTORS = {
    "ssd": "ssd300_coco",
    "retinanet": "retinanet_r50_fpn_1x_coco",
    "fcos": "fcos_r50-caffe_fpn_gn-head_1x_coco",
    "faster_rcnn": "faster-rcnn_r50_fpn_1x_coco",
    "mask_rcnn": "mask-rcnn_r50_fpn_1x_coco",
    "atss": "atss_r50_fpn_1x_coco",
    "rtmdet": "rtmdet_tiny_8xb32-300e_coco",
}
SMALL = {"channels": 4, "cells": 4}
SHIPPED = sorted(shipped())


@pytest.fixture
def weights(tmp_path):
    network = build_network("darts_v2", "imagenet", 4, 4, num_classes=2)
    metadata = WeightsMetadata(
        architecture=CellArchitecture.of(network.body), num_classes=2, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
    )
    save_weights(tmp_path / "net.safetensors", network, metadata)
    return tmp_path / "net.safetensors"


@pytest.mark.filterwarnings("ignore:.*num_anchors:UserWarning")
@pytest.mark.parametrize("name", DETECTORS)
def test_one_training_step_and_one_inference(name, tmp_path):
    done = swap(DETECTORS[name], "pdarts_cifar10", tmp_path / "new.py", trial=False, **SMALL)  # this test is one
    assert any("in_channels" in change for change in done.changes)
    cfg = Config.fromfile(str(tmp_path / "new.py"))
    side = 300 if name == "ssd" else 96
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        from mmdet.registry import MODELS

        detector = MODELS.build(_with_few_proposals(cfg.model))
        detector.init_weights()
        data = demo_mm_inputs(2, image_shapes=[(3, side, side)] * 2, num_classes=80, with_mask=name == "mask_rcnn")
        losses = detector.train().forward(**detector.data_preprocessor(data, True), mode="loss")
        loss = sum(value.mean() for key, values in losses.items() if "loss" in key for value in _each(values))
        assert loss.isfinite()
        loss.backward()
        assert [n for n, p in detector.backbone.named_parameters() if p.grad is None] == []
        with torch.no_grad():
            (first, _) = detector.eval().forward(**detector.data_preprocessor(data, False), mode="predict")
    assert first.pred_instances.bboxes.shape[1] == 4


def _with_few_proposals(model):
    if "roi_head" in model:
        model.train_cfg.rpn_proposal.max_per_img = model.test_cfg.rpn.max_per_img = 20
        model.train_cfg.rcnn.sampler.num = 16
    return model


def _each(values):
    return values if isinstance(values, list | tuple) else [values]


def test_levels_keep_the_strides_and_every_dependent_number_follows(tmp_path):
    swap("ssd300_coco", "pdarts_cifar10", tmp_path / "new.py", **SMALL)
    model = Config.fromfile(str(tmp_path / "new.py")).model
    assert model.backbone.out_indices == (1, 2)  # strides 8 and 16, as VGG had them
    assert model.neck.in_channels == (16, 32)
    assert model.neck.out_channels == (16, 32, 512, 256, 256, 256)
    assert model.bbox_head.in_channels == (16, 32, 512, 256, 256, 256)


def test_levels_that_a_neck_reads_from_the_last_on_are_reversed_and_the_heads_own_channels_stay(tmp_path):
    swap("yolov3_d53_8xb8-320-273e_coco", "pdarts_cifar10", tmp_path / "new.py", **SMALL)
    model = Config.fromfile(str(tmp_path / "new.py")).model
    assert model.neck.in_channels == [64, 32, 16]
    assert model.neck.out_channels == model.bbox_head.in_channels == [512, 256, 128]
    assert model.bbox_head.out_channels == [1024, 512, 256]


def test_weights_file_brings_normalisation_and_the_habits_of_the_old_backbone(weights, tmp_path):
    swap("faster-rcnn_r50_fpn_1x_coco", str(weights), tmp_path / "new.py")
    cfg = Config.fromfile(str(tmp_path / "new.py"))
    assert cfg.model.data_preprocessor.mean == [25.5, 51.0, 76.5]
    assert cfg.model.data_preprocessor.std == [102.0, 127.5, 153.0]
    assert cfg.model.data_preprocessor.bgr_to_rgb
    assert cfg.model.backbone.norm_eval
    assert cfg.model.backbone.frozen_stages == 0
    with mmdet_scope():
        assert measure(cfg.model.backbone).channels == (4, 16, 32, 64)


def test_fill_colour_of_expand_follows_the_mean(weights, tmp_path):
    swap("ssd300_coco", str(weights), tmp_path / "new.py")
    text = (tmp_path / "new.py").read_text()
    cfg = Config.fromfile(str(tmp_path / "new.py"))
    (expand,) = (step for step in cfg.train_pipeline if step["type"] == "Expand")
    assert expand["mean"] == cfg.model.data_preprocessor.mean == [25.5, 51.0, 76.5]
    assert "123.675" not in text.split("\n\n", 1)[1]


def test_timm_models_go_in_too(tmp_path):
    swap("retinanet_r50_fpn_1x_coco", "test_resnet", tmp_path / "a.py", norm_eval=True)
    backbone = Config.fromfile(str(tmp_path / "a.py")).model.backbone
    assert (backbone.type, backbone.name, backbone.norm_eval) == ("TimmBackbone", "test_resnet", True)
    architecture = TimmArchitecture(name="test_resnet")
    path = tmp_path / "net.safetensors"
    save_weights(path, architecture.build(2), WeightsMetadata(architecture=architecture, num_classes=2))
    swap("retinanet_r50_fpn_1x_coco", path, tmp_path / "b.py")
    assert Config.fromfile(str(tmp_path / "b.py")).model.backbone.type == "TimmBackbone"


def test_the_users_own_config_and_old_spelling_and_synced_norm(tmp_path):
    own = tmp_path / "own.py"
    swap("rtmdet_tiny_8xb32_300e_coco", "pdarts_cifar10", own, **SMALL)  # "_" for "-"
    cfg = Config.fromfile(str(own))
    assert cfg.model.backbone.norm == "SyncBN"
    cfg.load_from = "detector.pth"
    cfg.dump(str(own))
    done = swap(str(own), "darts_v2", tmp_path / "again.py", **SMALL)
    again = Config.fromfile(str(tmp_path / "again.py"))
    assert again.load_from is None
    assert "load_from" in str(done)
    assert again.model.backbone.genotype == "darts_v2"
    assert again.custom_imports.imports == ["backbones.mmdet_models"]


def test_the_file_says_what_it_is(tmp_path):
    done = swap("atss_r50_fpn_1x_coco", "pdarts_cifar10", tmp_path / "new.py", **SMALL)
    text = (tmp_path / "new.py").read_text()
    assert text.startswith("# atss_r50_fpn_1x_coco with the backbone pdarts_cifar10 in the place of ResNet.")
    assert all(f"#   {change}" in text for change in done.changes)


@pytest.mark.parametrize(
    ("config", "ends"),
    [
        ("detr/detr_r50_8xb2-150e_coco.py", "stepped"),
        ("mask2former/mask2former_r50_8xb2-lsj-50e_coco.py", "stepped"),  # no neck: the head reads the backbone
        ("mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2021.py", "run"),  # images of videos
        ("fast_rcnn/fast-rcnn_r50_fpn_1x_coco.py", "run"),  # proposals from a file
        ("htc/htc_r50_fpn_1x_coco.py", "stepped"),  # masks and classes of pixels
        ("faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco.py", "stepped"),
        ("rtmdet/rtmdet_x_p6_4xb8-300e_coco.py", "stepped"),
        ("lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py", "run"),  # a teacher with a backbone of its own
        ("dino/dino-4scale_r50_8xb2-12e_coco.py", "stepped"),
        ("scratch/faster-rcnn_r50-scratch_fpn_gn-all_6x_coco.py", "stepped"),
        ("retinanet/retinanet_tta.py", "refused: no detector in it (a schedule, test-time augmentation)"),
        ("detectors/detectors_cascade-rcnn_r50_1x_coco.py", "refused: RFP neck with a backbone of its own (DetectoRS)"),
        ("cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py", "refused: two levels at one stride (Hourglass)"),
    ],
)
def test_a_sample_of_the_shipped_configs_ends_as_it_should(config, ends, tmp_path):
    """``stepped`` also means: read back from the file, and different from the original in nothing but the swap."""
    assert outcome(shipped()[config], tmp_path) == ends


@pytest.mark.zoo
@pytest.mark.timeout(600)
@pytest.mark.parametrize("config", SHIPPED)
def test_every_shipped_config_ends_as_it_should(config, tmp_path):
    found = outcome(shipped()[config], tmp_path)
    assert not found.startswith(("WRONG", "UNEXPLAINED")), found


def test_genotype_text_of_several_lines_gives_a_file_that_python_reads(tmp_path):
    text = zoo.genotype("pdarts_cifar10").to_text().replace(", reduce=", ",\nreduce=")
    done = swap("retinanet_r50_fpn_1x_coco", text, tmp_path / "new.py", **SMALL)
    compile((tmp_path / "new.py").read_text(), "new.py", "exec")
    assert "\n" not in done.after
    genotype = Config.fromfile(str(tmp_path / "new.py")).model.backbone.genotype
    assert Genotype.from_dict(genotype) == zoo.genotype("pdarts_cifar10")


def test_a_dilated_last_stage_and_a_level_at_stride_64_and_group_normalisation(tmp_path):
    swap("faster-rcnn_r50-caffe-dc5_1x_coco", "pdarts_cifar10", tmp_path / "dc5.py", trial=False, **SMALL)
    model = Config.fromfile(str(tmp_path / "dc5.py")).model
    assert (model.backbone.out_indices, model.backbone.last_stride, model.rpn_head.in_channels) == ((3,), 1, 64)
    assert model.roi_head.bbox_roi_extractor.out_channels == model.roi_head.bbox_head.in_channels == 64
    with mmdet_scope():
        assert measure(model.backbone) == ((64,), (16,))
    swap("rtmdet_x_p6_4xb8-300e_coco", "pdarts_cifar10", tmp_path / "p6.py", trial=False, **SMALL)
    with mmdet_scope():
        assert measure(Config.fromfile(str(tmp_path / "p6.py")).model.backbone) == ((16, 32, 64, 64), (8, 16, 32, 64))
    swap("faster-rcnn_r50-scratch_fpn_gn-all_6x_coco", "test_resnet", tmp_path / "gn.py", trial=False)
    with mmdet_scope():
        built = build(Config.fromfile(str(tmp_path / "gn.py")).model.backbone, "it")
    kinds = {type(module) for module in built.modules()}
    assert torch.nn.GroupNorm in kinds
    assert not any(issubclass(kind, torch.nn.modules.batchnorm._BatchNorm) for kind in kinds)


def test_it_says_that_the_new_backbone_starts_from_nothing(weights, tmp_path):
    config = "retinanet_r50_fpn_1x_coco"
    done = swap(config, "pdarts_cifar10", tmp_path / "new.py", trial=False, **SMALL)
    header = (tmp_path / "new.py").read_text().split("\n\n", 1)[0]
    for text in (str(done), header):
        assert "WARNING: model.backbone started from torchvision://resnet50" in text
        assert 'weights="FILE.safetensors"' in text
        assert "norm_eval: True -> False (random weights)" in text
        assert "frozen_stages: 1 -> -1 (random weights)" in text
    assert not swap(config, str(weights), tmp_path / "new.py", trial=False).warnings


def test_nothing_is_downloaded(tmp_path):
    """Neither by the old backbone, when it is measured, nor by the new one, when it is tried."""
    swap("retinanet_r50_fpn_1x_coco", "timm:resnet18", tmp_path / "a.py", trial=False, pretrained=True)
    done = swap(str(tmp_path / "a.py"), "timm:resnet10t", tmp_path / "b.py", pretrained=True)
    assert "one training step" in done.trial
    assert Config.fromfile(str(tmp_path / "b.py")).model.backbone.pretrained is True
    with pytest.raises(WouldDownload, match=r"example\.org"), without_downloads():
        urllib.request.urlopen("http://example.org")


def test_an_option_that_the_backbone_lacks_is_refused(tmp_path):
    with pytest.raises(NaswildError, match="has no option 'dorp_path'"):
        swap("retinanet_r50_fpn_1x_coco", "pdarts_cifar10", tmp_path / "new.py", dorp_path=0.1, **SMALL)


def test_a_head_after_a_neck_without_channels_reads_the_backbone():
    model = {"neck": {"type": "GlobalAveragePooling"}, "head": {"in_channels": 2048, "fc_channels": 2048}}
    assert rewrite_channels(model, (2048,), (64,)) == ["model.head.in_channels: 2048 -> 64"]
    model = {"neck": {"in_channels": 2048}, "head": {"in_channels": 2048}}
    assert rewrite_channels(model, (2048,), (64,)) == ["model.neck.in_channels: 2048 -> 64"]


@pytest.mark.parametrize(
    "config",
    [
        "bytetrack_yolox_x_8xb4-80e_crowdhuman-mot17halftrain_test-mot17halfval",
        "soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco",
    ],
)
def test_trackers_and_teachers_have_their_detector_one_level_down(config, weights, tmp_path):
    done = swap(config, str(weights), tmp_path / "new.py")
    model = Config.fromfile(str(tmp_path / "new.py")).model
    assert model.detector.backbone.type == "CellBackbone"
    assert any("model.detector.neck.in_channels" in change for change in done.changes)
    text = (tmp_path / "new.py").read_text().split("\n\n", 1)[1]
    assert "25.5" in text  # the new mean, in the preprocessor of the branches too
    assert "103.53" not in str(model)
    assert model.detector.get("init_cfg") is None


def test_what_this_machine_cannot_run_is_written_when_told_so(tmp_path):
    config = "mask-rcnn_r50_fpn-carafe_1x_coco"  # an operation that torchvision lacks
    with pytest.raises(NaswildError, match=r"carafe_forward is not available.*--untried"):
        swap(config, "pdarts_cifar10", tmp_path / "new.py", **SMALL)
    done = swap(config, "pdarts_cifar10", tmp_path / "new.py", trial=False, **SMALL)
    assert "not tried" in (tmp_path / "new.py").read_text()
    assert "model.neck.in_channels" in str(done)


@pytest.mark.parametrize(
    ("config", "backbone", "error", "message"),
    [
        ("retinanet_r5O_fpn_1x_coco", "pdarts_cifar10", UnknownName, "did you mean 'retinanet_r50_fpn_1x_coco'"),
        ("folder/none.py", "pdarts_cifar10", NaswildError, "does not exist"),
        ("retinanet_r50_fpn_1x_coco", "pdarts_cifar1O", UnknownName, "did you mean 'pdarts_cifar10'"),
        ("faster-rcnn_r50-caffe_c4-1x_coco", "pdarts_cifar10", NaswildError, "shared_head"),
        ("detectors_cascade-rcnn_r50_1x_coco", "pdarts_cifar10", NaswildError, "second backbone"),
        ("ld_r50-gflv1-r101_fpn_1x_coco", "pdarts_cifar10", NaswildError, "No such file.*gfl_r101"),
        ("retinanet_tta", "pdarts_cifar10", NaswildError, "has no model.backbone"),
    ],
)
def test_what_cannot_be_swapped_is_said_and_nothing_is_written(config, backbone, error, message, tmp_path):
    with pytest.raises(error, match=message):
        swap(config, backbone, tmp_path / "new.py", **SMALL)
    assert not (tmp_path / "new.py").exists()
