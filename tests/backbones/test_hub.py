"""torch.hub loads our networks from a checkout."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch

from backbones import CellBackbone, save_weights
from backbones.weights import CellArchitecture, WeightsMetadata
from nas import build_network, zoo

REPOSITORY = str(Path(__file__).parents[2])


def load(name: str, *args, **options):
    return torch.hub.load(REPOSITORY, name, *args, source="local", **options)


def test_every_zoo_cell_and_nothing_private_is_listed():
    listed = {name for name, entry in runpy.run_path(f"{REPOSITORY}/hubconf.py").items() if callable(entry)}
    assert {name for name in listed if not name.startswith("_")} == {*zoo.names(), "backbone", "weights", "cellnet"}


def test_entries_build(tmp_path):
    x = torch.zeros(2, 3, 64, 64)
    assert load("pdarts_cifar10", num_classes=4, channels=4, cells=3).eval()(x).shape == (2, 4)
    assert load("cellnet", zoo.genotype("darts_v2").to_text(), channels=4, cells=3).eval()(x).shape == (2, 1000)
    backbone = load("backbone", "darts_v2", channels=4, cells=3, out_indices=(3,))
    assert isinstance(backbone, CellBackbone)
    network = build_network("darts_v2", "imagenet", 4, 3, num_classes=2).eval()
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=2)
    save_weights(tmp_path / "net.safetensors", network, metadata)
    torch.testing.assert_close(load("weights", str(tmp_path / "net.safetensors"))(x), network(x))
