"""Models that timm saves and reads back: folders of ``save_for_hf``, ``local-dir:`` and ``hf-hub:`` as sources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from timm.models import save_for_hf
from torch import nn

from backbones import CellBackbone, TimmBackbone, build_backbone
from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
from nas import build_network, zoo
from nas.errors import NaswildError

SMALL = {"channels": 4, "cells": 3, "num_classes": 5}
RELOAD = """
import sys, timm, torch
import backbones
for folder in sys.argv[1:]:
    model = timm.create_model("local-dir:" + folder, pretrained=True).eval()
    side = model.pretrained_cfg["input_size"][1]
    torch.save((model(torch.ones(1, 3, side, side)), dict(model.pretrained_cfg)), folder + "/answer.pt")
"""


def in_a_new_process(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


def models(tmp_path: Path) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    network = build_network("darts_v2", "cifar", 4, 3, num_classes=6, auxiliary=True)
    file = str(tmp_path / "net.safetensors")
    header = {"num_classes": 6, "input_size": (3, 40, 40), "mean": (0.1, 0.2, 0.3), "classes": tuple("abcdef")}
    save_weights(file, network, WeightsMetadata(architecture=CellArchitecture.of(network.body), **header))
    return {
        "zoo": timm.create_model("pdarts_cifar10", **SMALL),
        "cifar": timm.create_model("snas_aggressive", stem="cifar", **SMALL),
        "object": timm.create_model("cellnet", genotype=zoo.genotype("nasnet_a"), drop_path_rate=0.1, **SMALL),
        "file": timm.create_model("cellnet", pretrained=True, pretrained_cfg_overlay={"file": file}),
    }


def test_a_saved_model_is_rebuilt_in_a_new_process(tmp_path):
    made = models(tmp_path)
    for name, model in made.items():
        save_for_hf(model, str(tmp_path / name), safe_serialization=True)
    done = in_a_new_process(RELOAD, *(str(tmp_path / name) for name in made))
    assert done.returncode == 0, done.stderr[-2000:]
    for name, model in made.items():
        answer, cfg = torch.load(tmp_path / name / "answer.pt")
        side = model.pretrained_cfg["input_size"][1]
        torch.testing.assert_close(answer, model.eval()(torch.ones(1, 3, side, side)))
        for key in ("mean", "std", "input_size", "num_classes", "pool_size", "network"):
            expected = model.num_classes if key == "num_classes" else model.pretrained_cfg[key]
            assert json.dumps(cfg[key]) == json.dumps(expected), (name, key)


def test_a_zoo_name_takes_no_other_genotype():
    with pytest.raises(NaswildError, match="create 'cellnet'"):
        timm.create_model("pdarts_cifar10", genotype="darts_v2", **SMALL)


def test_the_cifar_stem_has_its_own_input():
    cfg = timm.create_model("pdarts_cifar10", stem="cifar", **SMALL).pretrained_cfg
    assert (cfg["input_size"], cfg["pool_size"], cfg["crop_pct"]) == ((3, 32, 32), (8, 8), 1.0)
    assert cfg["mean"] == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
    assert cfg["std"] == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-4)
    model = timm.create_model("pdarts_cifar10", stem="cifar", **SMALL)
    assert model.forward_features(torch.zeros(1, *cfg["input_size"])).shape[2:] == cfg["pool_size"]
    other = timm.create_model("pdarts_cifar10", stem="cifar", pretrained_cfg_overlay={"std": (1.0,) * 3}, **SMALL)
    assert other.pretrained_cfg["std"] == (1.0,) * 3


@pytest.mark.parametrize("name", ["cifar", "file", "zoo"])
def test_a_folder_of_cells_is_a_source(name, tmp_path):
    model = models(tmp_path)[name]
    save_for_hf(model, str(tmp_path / name), safe_serialization=True)
    source = f"local-dir:{tmp_path / name}"
    backbone = build_backbone(source, out_indices=(0, 2)).eval()
    assert isinstance(backbone, CellBackbone)
    image = torch.randn(1, 3, 32, 32)
    wanted = model.eval().forward_intermediates(image, [0, 2], intermediates_only=True)
    torch.testing.assert_close(backbone(image), wanted)
    assert backbone.mean == tuple(model.pretrained_cfg["mean"])
    before, last = build_backbone(source, out_indices=(-2, -1), last_stride=1).eval()(image)
    assert before.shape[2:] == last.shape[2:]


def test_a_folder_of_a_timm_model_is_a_source(tmp_path):
    model = timm.create_model("test_resnet", num_classes=3).eval()
    save_for_hf(model, str(tmp_path / "net"), safe_serialization=True)
    backbone = build_backbone(f"local-dir:{tmp_path / 'net'}", out_indices=(3,)).eval()
    assert isinstance(backbone, TimmBackbone)
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(backbone(image)[0], model.forward_features(image))


def test_sources_that_are_not_there_are_one_sentence(tmp_path):
    with pytest.raises(NaswildError, match="has no config that can be read"):
        build_backbone(f"local-dir:{tmp_path / 'none'}")
    code = "from backbones import build_backbone\ntry: build_backbone('hf-hub:nobody/nothing')\n"
    code += "except Exception as error: print(type(error).__name__, error)"
    done = in_a_new_process(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.stdout.startswith("NaswildError hf-hub:nobody/nothing has no config that can be read: "), done.stderr
