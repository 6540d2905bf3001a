"""mmdetection builds our backbones by name, initialises them from our files, and trains a detector on them."""

from __future__ import annotations

import pytest
import torch

from backbones.weights import CellArchitecture, TimmArchitecture, WeightsMetadata, save_weights
from nas import build_network
from nas.errors import NaswildError

pytest.importorskip("mmdet")

from mmdet.registry import MODELS

import backbones.mmdet_models

SMALL = {"type": "CellBackbone", "genotype": "pdarts_cifar10", "channels": 4, "cells": 4}


@pytest.fixture
def file(tmp_path):
    network = build_network("darts_v2", "imagenet", 4, 4, num_classes=2, auxiliary=True)
    path = tmp_path / "net.safetensors"
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=2, mean=(0.1, 0.2, 0.3))
    save_weights(path, network, metadata)
    return str(path), network


@pytest.mark.parametrize("config", [SMALL, {"type": "TimmBackbone", "name": "test_resnet"}])
def test_built_by_name_with_every_option(config):
    options = {"out_indices": (1, 3), "frozen_stages": 0, "norm_eval": True, "norm": "SyncBN", "drop_path": 0.1}
    backbone = MODELS.build(config | options)
    backbone.init_weights()
    levels = backbone.eval()(torch.zeros(2, 3, 64, 64))
    assert [level.shape[1] for level in levels] == list(backbone.channels)
    assert backbone.is_init


def test_init_cfg_reads_our_file_strictly(file):
    path, network = file
    config = SMALL | {"genotype": "darts_v2", "init_cfg": {"type": "Pretrained", "checkpoint": path}}
    backbone = MODELS.build(config)
    assert backbone.mean == (0.1, 0.2, 0.3)  # known before the weights are read: a detector that is tested needs it
    assert not torch.equal(backbone.body.stem0[0].weight, network.body.stem0[0].weight)
    backbone.init_weights()
    assert torch.equal(backbone.body.stem0[0].weight, network.body.stem0[0].weight)
    assert backbone.load_report.matched == len(backbone.state_dict())
    with pytest.raises(NaswildError, match="does not fit"):
        MODELS.build(config | {"genotype": "pdarts_cifar10"}).init_weights()


def test_weights_give_the_cells_too(file):
    path, network = file
    backbone = MODELS.build({"type": "CellBackbone", "weights": path, "out_indices": (2,)})
    backbone.init_weights()
    assert backbone.channels == (32,)
    assert torch.equal(backbone.body.stem0[0].weight, network.body.stem0[0].weight)
    with pytest.raises(NaswildError, match="type='CellBackbone'"):
        MODELS.build({"type": "TimmBackbone", "weights": path})
    with pytest.raises(NaswildError, match="needs genotype="):
        MODELS.build({"type": "CellBackbone"})


def test_timm_weights_name_the_model(tmp_path):
    path = str(tmp_path / "net.safetensors")
    architecture = TimmArchitecture(name="test_resnet")
    save_weights(path, architecture.build(2), WeightsMetadata(architecture=architecture, num_classes=2))
    backbone = MODELS.build({"type": "TimmBackbone", "weights": path})
    assert backbone.load_report.matched == len(backbone.state_dict())


def test_mmengine_initialisers_still_work():
    init = {"type": "Constant", "layer": "Conv2d", "val": 0.25}
    backbone = MODELS.build(SMALL | {"init_cfg": init})
    backbone.init_weights()
    assert (backbone.body.stem0[0].weight == 0.25).all()


def test_what_was_loaded_is_kept_even_by_a_model_that_can_initialise_itself():
    """timm's HRNet has an ``init_weights`` of its own, which mmengine calls on every child that has one."""
    backbone = MODELS.build({"type": "TimmBackbone", "name": "hrnet_w18_small", "out_indices": (0,)})
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.5)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_a_missing_weights_file_is_said_and_refused_where_it_is_needed(monkeypatch):
    said = []
    monkeypatch.setattr(backbones.mmdet_models, "print_log", lambda text, *_: said.append(text))
    file = "elsewhere/net.safetensors"
    backbone = MODELS.build(SMALL | {"init_cfg": {"type": "Pretrained", "checkpoint": file}})
    assert said[0].startswith(f"{file} is not here")
    with pytest.raises(NaswildError, match=r"net\.safetensors"):
        backbone.init_weights()


def test_same_class_as_ours():
    assert isinstance(MODELS.build(SMALL), backbones.CellBackbone)


TIMM = {"type": "TimmBackbone", "name": "mobilenetv2_035"}


@pytest.mark.parametrize("config", [SMALL, TIMM, TIMM | {"name": "test_resnet"}])
def test_frozen_stages_stay_frozen_when_mmengine_reverts_sync_norm(config):
    from mmengine.model import revert_sync_batchnorm

    torch.manual_seed(0)
    config = config | {"norm": "SyncBN", "frozen_stages": 1}
    reverted = revert_sync_batchnorm(MODELS.build(config)).train()
    before = {name: value.clone() for name, value in reverted.state_dict().items()}
    images = torch.randn(2, 3, 64, 64)
    reverted(images)
    moved = {name for name, value in reverted.state_dict().items() if not torch.equal(value, before[name])}
    learning = {name for name, parameter in reverted.named_parameters() if parameter.requires_grad}
    plain = MODELS.build(config | {"norm": "BN"})
    plain.load_state_dict(before)
    plain.train()(images)
    assert moved == {name for name, value in plain.state_dict().items() if not torch.equal(value, before[name])}
    assert learning == {name for name, parameter in plain.named_parameters() if parameter.requires_grad}
    for ours, theirs in zip(reverted.eval()(images), plain.eval()(images)):
        torch.testing.assert_close(ours, theirs)  # timm's activations inside the norms are still there


def test_weights_of_another_network_than_the_named_one_are_refused(file, tmp_path):
    path, _ = file
    assert MODELS.build({"type": "CellBackbone", "genotype": "darts_v2", "weights": path}).load_report is not None
    with pytest.raises(NaswildError, match="holds another genotype than 'pdarts_cifar10'"):
        MODELS.build({"type": "CellBackbone", "genotype": "pdarts_cifar10", "weights": path})
    with pytest.raises(NaswildError, match=r"holds another channels \(4\) than 8"):
        MODELS.build({"type": "CellBackbone", "weights": path, "channels": 8})
    model = str(tmp_path / "timm.safetensors")
    architecture = TimmArchitecture(name="test_resnet", kwargs={"in_chans": 1})
    metadata = WeightsMetadata(
        architecture=architecture, num_classes=2, input_size=(1, 64, 64), mean=(0.5,), std=(0.5,)
    )
    save_weights(model, architecture.build(2), metadata)
    assert MODELS.build({"type": "TimmBackbone", "name": "timm:test_resnet", "weights": model}).load_report is not None
    with pytest.raises(NaswildError, match=r"holds another name \(test_resnet\) than 'test_vit'"):
        MODELS.build({"type": "TimmBackbone", "name": "test_vit", "weights": model})
    with pytest.raises(NaswildError, match=r"holds another in_channels \(1\) than 3"):
        MODELS.build({"type": "TimmBackbone", "weights": model, "in_channels": 3})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"with_cp": True}, r"has no option 'with_cp': write checkpointing=True"),
        ({"norm_cfg": {"type": "SyncBN"}}, r"has no option 'norm_cfg': write norm=\"SyncBN\""),
        ({"in_chans": 1}, "has no option 'in_chans': write in_channels"),
        ({"pretrained": "torchvision://resnet50"}, "pretrained"),
        ({"out_indices": 3}, r"out_indices is a list of levels, e\.g\. \(3,\), not 3"),
        ({"out_indices": (1.0,)}, "levels are whole numbers"),
        ({"depth": 50}, "depth"),
    ],
)
@pytest.mark.parametrize("config", [SMALL, {"type": "TimmBackbone", "name": "test_resnet"}])
def test_options_of_mmdets_backbones_are_answered_in_one_sentence(config, options, message):
    with pytest.raises(NaswildError, match=message):
        MODELS.build(config | options)
