"""PCB equals its definition written plainly: stripes, reductions, summed losses and their gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backbones import build_backbone, cell_backbone
from backbones.pyramid import Pyramid
from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
from nas.counting import count
from nas.errors import NaswildError
from nas.network import build_network
from reid.model import build_pcb, costs, reid_backbone
from reid.pcb import PCB, summed_loss
from reid.recipe import ReidRecipe


class Plain(Pyramid):
    """A backbone of one convolution with stride 4."""

    channels, strides, out_indices = (8,), (4,), (0,)

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, x):
        return [self.convolution(x)]


def images(count: int = 5, height: int = 48, width: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def plain_losses(network: PCB, x: torch.Tensor, identities: torch.Tensor) -> torch.Tensor:
    """Section 3 of the paper, one stripe at a time, with the network's parameters."""
    level = network.backbone.convolution(x)
    rows = level.shape[2] // network.parts
    total = torch.zeros(())
    for part in range(network.parts):
        stripe = level[:, :, part * rows : (part + 1) * rows].mean(dim=(2, 3))
        convolution, norm, _, _ = network.reductions[part if len(network.reductions) > 1 else 0]
        reduced = stripe @ convolution.weight[:, :, 0].T
        reduced = (reduced - reduced.mean(0)) / (reduced.var(0, unbiased=False) + norm.eps).sqrt()
        reduced = torch.relu(reduced * norm.weight + norm.bias)
        logits = reduced @ network.classifiers[part].weight.T + network.classifiers[part].bias
        total = total + F.cross_entropy(logits, identities)
    return total


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("shared", [False, True])
def test_loss_and_gradients_equal_the_definition(parts, shared):
    torch.manual_seed(parts)
    network = PCB(Plain(), parts, num_classes=7, reduced_dim=6, shared_reduction=shared)
    nn.init.normal_(network.classifiers[0].weight)
    x, identities = images(), torch.tensor([0, 6, 2, 2, 4])
    loss = summed_loss(network(x), identities)
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    expected = plain_losses(network, x, identities)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, list(network.parameters())), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parts", [1, 3, 6])
def test_descriptor_is_the_stripes_side_by_side(parts):
    network = PCB(Plain(), parts, num_classes=7).eval()
    x = images()
    level = network.backbone.convolution(x)
    expected = torch.cat([stripe.mean(dim=(2, 3)) for stripe in level.chunk(parts, dim=2)], dim=1)
    torch.testing.assert_close(network(x), expected)
    assert network.part_dim == 8
    assert network.feature_dim == 8 * parts


def test_descriptor_after_the_reduction_has_its_width():
    network = PCB(Plain(), 3, num_classes=7, reduced_dim=5, descriptor="after_reduction").eval()
    x = images()
    expected = torch.cat(network.reduce(network.stripes(x)), dim=1)
    assert network(x).shape == (5, 15)
    assert network.feature_dim == 15
    torch.testing.assert_close(network(x), expected)


def test_training_with_descriptor_updates_the_statistics_once():
    network = PCB(Plain(), 2, num_classes=7, descriptor="after_reduction")
    logits, descriptor = network(images(), with_descriptor=True)
    assert len(logits) == 2
    assert descriptor.shape == (5, 512)
    assert int(network.reductions[0][1].num_batches_tracked) == 1


def test_head_and_backbone_share_the_parameters_between_them():
    network = PCB(Plain(), 3, num_classes=7)
    head, backbone = set(network.head_parameters()), set(network.backbone.parameters())
    assert not head & backbone
    assert head | backbone == set(network.parameters())


def test_too_many_parts_for_the_feature_map_is_said():
    network = PCB(Plain(), 13, num_classes=7)
    with pytest.raises(NaswildError, match="feature map 12 rows high, too low for 13 parts"):
        network(images())


@pytest.mark.parametrize("options", [{"parts": 0}, {"parts": 2, "descriptor": "g"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(NaswildError):
        PCB(Plain(), num_classes=7, **options)


@pytest.mark.parametrize(("source", "channels"), [("pdarts_cifar10", 64), ("timm:test_resnet", 64)])
def test_six_parts_on_cells_and_on_timm_models_at_the_papers_input(source, channels):
    options = {"channels": 4, "cells": 5} if source == "pdarts_cifar10" else {}
    backbone = build_backbone(source, out_indices=(-1,), last_stride=1, **options)
    network = PCB(backbone, 6, num_classes=4).eval()
    with torch.no_grad():
        x = torch.zeros(1, 3, 384, 128)
        assert backbone(x)[0].shape[2:] == (24, 8)
        assert network(x).shape == (1, 6 * backbone.channels[0])
    assert backbone.channels[0] >= channels // 2


@pytest.mark.parametrize("descriptor", ["before_reduction", "after_reduction"])
def test_normalised_stripes_have_length_one_each(descriptor):
    backbone = reid_backbone("darts_v2", channels=4, cells=3)
    network = PCB(backbone, 3, 5, 8, descriptor=descriptor, normalise_stripes=True).eval()
    with torch.no_grad():
        images = torch.randn(2, 3, 96, 48)
        normalised = network(images).view(2, 3, -1)
        network.normalise_stripes = False
        plain = network(images).view(2, 3, -1)
    torch.testing.assert_close(normalised, plain / plain.norm(dim=2, keepdim=True))


@pytest.mark.parametrize("from_file", [False, True])
def test_costs_draw_and_read_no_second_backbone(tmp_path, monkeypatch, from_file):
    """Table 5's multiply-adds are those of the strided backbone, found without weights for it."""
    source, options = "darts_v2", {"channels": 4, "cells": 3}
    if from_file:
        trained = build_network("darts_v2", "imagenet", 4, 3, 10)
        source, options = tmp_path / "w.safetensors", {}
        save_weights(source, trained, WeightsMetadata(architecture=CellArchitecture.of(trained.body), num_classes=10))
    network = build_pcb(source, ReidRecipe(height=96, width=48), parts=3, identities=4, seed=0, **options)
    expected = count(reid_backbone(source, last_stride=2, **options), 224, convention="paper").macs
    before = torch.get_rng_state()
    monkeypatch.setattr(cell_backbone, "load_into", None)
    assert costs(network, source, ReidRecipe(height=96, width=48), **options)["paper_macs"] == expected
    assert torch.equal(torch.get_rng_state(), before)
