"""The quick forms of a network compute what its definition computes: outputs, gradients and running statistics."""

import copy

import pytest
import timm
import torch
from torch import nn

from nas import native, quick_separable
from nas.cell import Cell
from nas.depthwise import DepthwiseConv2d
from nas.network import CellBody, build_network
from nas.operations import DilConv, SepConv
from nas.quick import QuickBody, QuickCell, quicken, restore
from nas.quick_separable import applies, separable

needs_compiler = pytest.mark.skipif(native.kernels() is None, reason=native.status())


def with_lively_norms(module: nn.Module) -> nn.Module:
    """In double precision, with scales and shifts that are not 1 and 0."""
    source = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(-2, 2, generator=source)
            layer.bias.data.uniform_(-2, 2, generator=source)
    return module.double().train()


def assert_same_step(module: nn.Module, other: nn.Module, *inputs: torch.Tensor, run=lambda m, *x: m(*x)) -> None:
    """One forward and one backward pass of each from the same draws: everything they leave behind is equal."""
    found = []
    for net in (module, other):
        given = [x.clone().requires_grad_() for x in inputs]
        torch.manual_seed(7)
        out = run(net, *given)
        first, *rest = out if isinstance(out, tuple) else (out,)
        weights = torch.arange(first.numel(), dtype=first.dtype).sin().view_as(first)
        ((first * weights).sum() + sum(value.sum() for value in rest)).backward()
        grads = {name: parameter.grad for name, parameter in net.named_parameters()}
        found.append((out, [x.grad for x in given], grads, dict(net.named_buffers())))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize(("name", "channels"), [("pdarts_cifar10", 16), ("amoebanet_a", 4), ("snas_moderate", 4)])
def test_a_quick_network_takes_the_same_step(name, stem, channels):
    torch.manual_seed(0)
    network = with_lively_norms(build_network(name, stem, channels=channels, cells=3, num_classes=3, auxiliary=True))
    network.set_drop_path(0.3)
    quick = copy.deepcopy(network).to(memory_format=torch.channels_last)
    quicken(quick)
    assert any(isinstance(module, QuickCell) for module in quick.modules())
    assert_same_step(network, quick, torch.randn(2, 3, 17, 17, dtype=torch.float64))


def test_recomputed_cells_take_the_same_step():
    torch.manual_seed(0)
    network = with_lively_norms(build_network("pdarts_cifar10", channels=16, cells=3, num_classes=3))
    network.set_drop_path(0.3)
    quick = copy.deepcopy(network)
    quicken(quick)
    quick.body.checkpointing = True
    assert_same_step(network, quick, torch.randn(2, 3, 8, 8, dtype=torch.float64))


@needs_compiler
@pytest.mark.parametrize("size", [(7, 7), (8, 5), (2, 2), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("kind", [SepConv, DilConv])
def test_the_compiled_separable_convolution_is_the_layers(kind, kernel, stride, size):
    torch.manual_seed(0)
    layers = with_lively_norms(kind(16, kernel, stride))
    x = torch.randn(3, 16, *size, dtype=torch.float64)
    assert applies(layers, x)
    assert_same_step(copy.deepcopy(layers), layers, x, run=lambda m, x: separable(m, x) if m is layers else m(x))


@needs_compiler
def test_frozen_weights_and_inputs_without_gradients_are_left_alone():
    layers = SepConv(16, 3, 1).train()
    layers[1].weight.requires_grad_(False)
    separable(layers, torch.randn(2, 16, 6, 6)).sum().backward()
    assert layers[1].weight.grad is None
    assert layers[2].weight.grad is not None


@needs_compiler
def test_compiled_code_is_for_training_on_a_cpu_in_full_precision_and_full_vectors():
    layers, x = SepConv(16, 3, 1).train(), torch.randn(2, 16, 6, 6)
    assert applies(layers, x)
    assert not applies(layers.eval(), x)
    assert not applies(SepConv(8, 3, 1), torch.randn(2, 8, 6, 6))
    assert not applies(SepConv(16, 7, 1), x)
    assert not applies(SepConv(16, 3, 1, affine=False), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not applies(layers.train(), x)
    with torch.no_grad():
        assert not applies(layers, x)


def test_without_a_compiler_the_layers_are_used(monkeypatch):
    monkeypatch.setattr(quick_separable.library, "supports", lambda *_: False)
    torch.manual_seed(0)
    network = with_lively_norms(build_network("pdarts_cifar10", channels=16, cells=3, num_classes=3))
    quick = copy.deepcopy(network)
    quicken(quick)
    assert_same_step(network, quick, torch.randn(2, 3, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize("name", ["cell", "mobilenetv3_small_050", "test_resnet"])
def test_quickened_and_restored_keeps_names_classes_and_results(name):
    torch.manual_seed(0)
    network = build_network("pdarts_cifar10", channels=4, cells=3) if name == "cell" else timm.create_model(name)
    network.eval()
    names, kinds = list(network.state_dict()), [type(module) for module in network.modules()]
    x = torch.randn(2, 3, 32, 32)
    before = network(x)
    quicken(network)
    torch.testing.assert_close(network(x), before, rtol=1e-4, atol=1e-5)
    assert list(network.state_dict()) == names
    assert any(isinstance(module, DepthwiseConv2d) for module in network.modules()) == (name != "test_resnet")
    assert isinstance(getattr(network, "body", None), QuickBody) == (name == "cell")
    restore(network)
    assert [type(module) for module in network.modules()] == kinds
    assert torch.equal(network(x), before)


def test_definitions_are_as_they_were():
    """The quick forms are subclasses: nothing of the definitions is patched."""
    network = build_network("pdarts_cifar10", channels=4, cells=3)
    quick = copy.deepcopy(network)
    quicken(quick)
    assert type(network.body) is CellBody
    assert type(network.body.cell(0)) is Cell
    assert network.body.pass_on(torch.tensor(-1.0)) == -1
