"""build_backbone: whatever names a backbone gives one."""

from __future__ import annotations

import json

import pytest
import torch

from backbones import CellBackbone, TimmBackbone, build_backbone
from backbones.weights import CellArchitecture, TimmArchitecture, WeightsMetadata, save_weights
from nas import build_network, zoo
from nas.errors import NaswildError, UnknownName

GENOTYPE = zoo.genotype("darts_v2")


def small(source, **options):
    return build_backbone(source, **{"channels": 4, "cells": 3, **options})


def test_every_way_to_name_a_genotype_gives_the_same_cells(tmp_path):
    file = tmp_path / "found.json"
    file.write_text(json.dumps(GENOTYPE.to_dict()))
    for source in ("darts_v2", GENOTYPE, GENOTYPE.to_text(), GENOTYPE.to_dict(), file, str(file)):
        backbone = small(source)
        assert isinstance(backbone, CellBackbone)
        assert backbone.body.genotype == GENOTYPE


@pytest.mark.parametrize("source", ["test_resnet", "timm:test_resnet"])
def test_timm_names(source):
    backbone = small(source, out_indices=(3,), last_stride=1)
    assert isinstance(backbone, TimmBackbone)
    assert backbone.strides == (16,)


def test_prefix_takes_a_name_that_both_know_to_timm():
    assert isinstance(small("pdarts_cifar10"), CellBackbone)


def test_weights_files_of_both_kinds(tmp_path):
    network = build_network(GENOTYPE, "imagenet", 6, 5, num_classes=2)
    cells, model = tmp_path / "cells.safetensors", tmp_path / "timm.safetensors"
    save_weights(cells, network, WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=2))
    architecture = TimmArchitecture(name="test_resnet")
    save_weights(model, architecture.build(2), WeightsMetadata(architecture=architecture, num_classes=2))
    backbone = small(cells, norm_eval=True)
    assert backbone.channels == (6, 24, 48, 96)  # the file's size, not the argument's
    assert torch.equal(backbone.body.stem0[0].weight, network.body.stem0[0].weight)
    assert isinstance(small(str(model)), TimmBackbone)
    with pytest.raises(NaswildError, match=r"holds another in_channels \(3\) than 1"):
        small(cells, in_channels=1)
    assert small(cells, in_channels=3).channels == (6, 24, 48, 96)
    with pytest.raises(NaswildError, match=r"TimmBackbone\.from_file"):
        CellBackbone.from_file(model)
    with pytest.raises(NaswildError, match=r"CellBackbone\.from_file"):
        TimmBackbone.from_file(cells)


def test_options_reach_both_kinds():
    for source in ("darts_v2", "test_resnet"):
        backbone = small(source, frozen_stages=0, norm_eval=True, norm="SyncBN", in_channels=1, drop_path=0.1)
        assert not all(p.requires_grad for p in backbone.parameters())
        assert backbone.eval()(torch.zeros(1, 1, 64, 64))[3].shape[2:] == (2, 2)


def test_unknown_names_give_near_matches_of_both_registries():
    with pytest.raises(UnknownName, match="pdarts_cifar10"):
        small("pdarts_cifar1O")
    with pytest.raises(UnknownName, match="mobilenetv2_100"):
        small("mobilenet_v2_100")
    with pytest.raises(NaswildError, match="does not exist"):
        small("missing.safetensors")
    with pytest.raises(NaswildError, match="does not exist"):
        small("missing.json")
