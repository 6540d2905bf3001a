"""Networks of cells rewritten for inference: equal outputs, one ReLU a tensor, nothing overwritten too early."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import nn

from backbones import CellBackbone, TimmBackbone, for_inference, inference
from backbones.fold import FoldedReduce, fold
from backbones.rewrite import rewritten
from nas import build_network, zoo
from nas.operations import FactorizedReduce
from nas.quick import quicken


def with_statistics(network: nn.Module) -> nn.Module:
    """Weights and statistics at a scale at which every layer shows in the output."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(1.5, 3.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


def image(*size: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def assert_same(found, wanted) -> None:
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        torch.testing.assert_close(a, b, atol=1e-5 * b.abs().max().item(), rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", zoo.names())
def test_every_level_of_every_zoo_cell_is_the_same(name):
    backbone = with_statistics(CellBackbone(name, channels=4, cells=5))
    x = image(33, 46)
    wanted = backbone(x)
    for in_place in (False, True):
        assert_same(rewritten(backbone, in_place=in_place)(x), wanted)


@torch.no_grad()
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("size", [(64, 64), (65, 33)])
def test_logits_are_the_same_and_differ_between_images(stem, size):
    network = with_statistics(build_network("pdarts_cifar10", stem, 4, 6, 5))
    x = image(*size)
    wanted = network(x)
    assert (wanted[0] - wanted[1]).abs().max() > 1e-3 * wanted.abs().max()
    for in_place in (False, True):
        assert_same([rewritten(network, in_place=in_place)(x)], [wanted])


def test_a_rewritten_network_has_one_relu_a_tensor_and_no_batch_norm():
    network = build_network("pdarts_cifar10", "imagenet", 4, 6, 5)
    before = len([m for m in network.modules() if isinstance(m, nn.ReLU)])
    module = rewritten(network)
    relus = [node for node in module.graph.nodes if node.target is torch.relu]
    assert len(relus) == len({node.args[0] for node in relus}) < before - 10
    assert not any(node.args[0].target is torch.cat for node in relus)  # they stand where convolutions can take them in
    assert not any(isinstance(m, nn.BatchNorm2d | nn.Identity) for m in module.modules())


def test_eager_mode_overwrites_and_the_input_and_the_original_stay():
    network = with_statistics(build_network("pdarts_cifar10", "imagenet", 4, 6, 5))
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    module = rewritten(network, in_place=True)
    targets = [node.target for node in module.graph.nodes]
    assert targets.count(torch.relu_) > targets.count(torch.relu)
    assert operator.add not in targets
    x = image(64, 64)
    kept = x.clone()
    first = module(x)
    assert torch.equal(module(x), first)
    assert torch.equal(x, kept)
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [{"last_stride": 1}, {"norm": "SyncBN"}, {"checkpointing": True}, {"drop_path": 0.5}, {"out_indices": (2,)}],
)
def test_every_kind_of_backbone_can_be_rewritten(options):
    backbone = with_statistics(CellBackbone("nasnet_a", channels=4, cells=5, **options))
    with torch.enable_grad():
        fast = for_inference(backbone)
    assert_same(fast(image(65, 33)), backbone(image(65, 33)))
    assert (fast.channels, fast.strides, fast.mean) == (backbone.channels, backbone.strides, backbone.mean)


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (1, 3)])
def test_a_folded_reduce_is_the_factorized_reduce(stride, size):
    reduce = with_statistics(FactorizedReduce(6, 5)).double()
    reduce.stride = stride
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    torch.testing.assert_close(FoldedReduce(reduce)(x), reduce(x), atol=1e-12, rtol=1e-12)


@torch.no_grad()
def test_a_network_fresh_from_training_folds():
    network = with_statistics(build_network("pdarts_cifar10", "imagenet", 4, 4, 5))
    wanted = network(image(64, 64))
    quicken(network)
    assert_same([fold(network)(image(64, 64))], [wanted])


@torch.no_grad()
def test_other_networks_are_folded_as_far_as_known():
    backbone = TimmBackbone("test_resnet").eval()
    fast = for_inference(backbone)
    assert_same(fast(image(64, 64)), backbone(image(64, 64)))
    assert fast(image(64, 64))[0].is_contiguous(memory_format=torch.channels_last)


def test_nothing_of_it_learns():
    fast = for_inference(build_network("darts_v2", "imagenet", 4, 3, 5))
    assert not fast.training
    assert not any(p.requires_grad for p in fast.parameters())
    assert not fast(image(64, 64)).requires_grad


def test_the_compiler_sees_weights_as_constants_and_no_autograd(monkeypatch):
    seen = []

    def compiler(network, dynamic):
        def call(images):
            from torch._inductor import config

            seen.append((config.freezing, config.cpp_wrapper, torch.is_grad_enabled(), dynamic))
            return network(images)

        return call

    monkeypatch.setattr(inference.torch, "compile", compiler)
    network = with_statistics(build_network("darts_v2", "imagenet", 4, 3, 5))
    fast = for_inference(network, compiled=True)
    assert_same([fast(image(64, 64))], [network(image(64, 64)).detach()])
    assert seen == [(True, True, False, False)]
    assert fast.num_classes == 5


def test_compiled_for_real(in_a_process_of_its_own):
    in_a_process_of_its_own(compile_for_real)


@torch.no_grad()
def compile_for_real():
    network = with_statistics(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()))
    assert_same([for_inference(network, compiled=True)(image(16, 16))], [network(image(16, 16))])
