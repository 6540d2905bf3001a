"""Folded networks and exported files give the eager network's outputs, or no file at all."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from backbones import build_backbone, export, save_weights
from backbones.fold import fold
from backbones.weights import CellArchitecture, WeightsMetadata
from nas import build_network
from nas.errors import NaswildError, UnknownName

SMALL = {"channels": 4, "cells": 3, "num_classes": 3}


def with_statistics(network: nn.Module) -> nn.Module:
    """Batch normalisations as after training: folding must not get away with the identity."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    network = with_statistics(build_network("pdarts_cifar10", "imagenet", 4, 3, 3))
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    metadata = WeightsMetadata(
        architecture=CellArchitecture.of(network.body), num_classes=3, classes=("a", "b", "c"), input_size=(3, 65, 33)
    )
    save_weights(path, network, metadata)
    return path, network


@pytest.mark.parametrize("name", ["pdarts_cifar10", "darts_v2", "nasnet_a", "amoebanet_a"])
@pytest.mark.parametrize("size", [(64, 64), (65, 33)])
def test_folding_changes_no_output_and_leaves_no_batch_norm(name, size):
    network = with_statistics(build_network(name, "imagenet", 4, 4, 3))
    folded = fold(network)
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(folded(x), network(x), atol=1e-5, rtol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in network.modules())  # the original is untouched


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_folding_what_it_does_not_know_is_harmless(name):
    backbone = with_statistics(build_backbone(name))
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(fold(backbone)(x), backbone(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("format", ["torchscript", "exported", "onnx"])
@pytest.mark.parametrize("features", [False, True])
def test_exported_file_gives_the_eager_outputs_at_any_batch_size(format, features, weights, tmp_path):
    if format == "onnx":
        pytest.importorskip("onnxscript")
        pytest.importorskip("onnxruntime")
    path, network = weights
    done = export.export(path, format, tmp_path / "net.out", features=features, out_indices=(1, 3))
    assert done.outputs == (("stride8", "stride32") if features else ("logits",))
    assert done.difference < 1e-5
    images = torch.randn(5, 3, 65, 33)
    pyramid = network.body(images)
    wanted = [pyramid[1], pyramid[3]] if features else [network(images)]
    with torch.no_grad():
        for expected, found in zip(wanted, export._FORMATS[format][1](tmp_path / "net.out")(images), strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_onnx_file_tells_its_normalisation_and_classes(weights, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    export.export(weights[0], "onnx", tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    story = json.loads(next(p.value for p in model.metadata_props if p.key == "naswild"))
    assert story["classes"] == ["a", "b", "c"]
    assert story["mean"]
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)


def test_names_without_a_file_export_too(tmp_path):
    for source in ("darts_v2", "test_resnet"):
        done = export.export(source, "torchscript", tmp_path / "net.pt", input_size=64, **SMALL)
        assert done.bytes == (tmp_path / "net.pt").stat().st_size


def test_a_file_that_differs_is_not_kept(weights, tmp_path, monkeypatch):
    broken = lambda network: nn.Sequential(fold(network), nn.Tanh())  # noqa: E731
    monkeypatch.setattr(export, "rewritten", broken)
    with pytest.raises(NaswildError, match="not kept"):
        export.export(weights[0], "torchscript", tmp_path / "net.pt")
    assert list(tmp_path.iterdir()) == []


def test_unknown_format_and_source(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'onnx'"):
        export.export("darts_v2", "onxx", tmp_path / "net")
    with pytest.raises(UnknownName, match="darts_v2"):
        export.export("darts_v22", "torchscript", tmp_path / "net", **SMALL)
