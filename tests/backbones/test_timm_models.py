"""What timm's own test-suite asks of a model, asked of every cell in its registry, at a small size."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models import group_parameters
from timm.models._features_fx import get_notrace_functions, get_notrace_modules
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

import backbones  # noqa: F401  (its import registers the models)
from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
from nas import build_network, zoo
from nas.errors import NaswildError

NAMES = [name for name in timm.list_models(module="timm_models") if name != "cellnet"]
SMALL = {"channels": 4, "cells": 3, "num_classes": 5}
LEVELS = 4


def small(name: str = "pdarts_cifar10", **options) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, **{**SMALL, **options})


def image(height: int = 64, width: int = 64, channels: int = 3, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


def test_every_zoo_cell_is_registered():
    assert set(NAMES) == set(zoo.names())


@pytest.mark.parametrize("name", NAMES)
def test_forward_backward_and_feature_info(name):
    model = small(name)
    x = image(40, 33)
    logits, levels = model.eval()(x), model.forward_intermediates(x, intermediates_only=True)
    assert logits.shape == (2, 5)
    assert torch.isfinite(logits).all()
    for level, info in zip(levels, model.feature_info):
        side = tuple(-(-s // info["reduction"]) for s in (40, 33))
        assert level.shape == (2, info["num_chs"], *side)
        assert isinstance(model.get_submodule(info["module"]), nn.Module)
    model.train()(x).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_features_only_keeps_the_levels_and_drops_the_rest(name):
    model = small(name, features_only=True, out_indices=(0, 2))
    x = image()
    features = model.eval()(x)
    assert [f.shape[1] for f in features] == model.feature_info.channels()
    assert [64 // f.shape[2] for f in features] == model.feature_info.reduction() == [4, 16]
    model.train()
    sum(f.square().sum() for f in model(x)).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", ["pdarts_cifar10", "darts_v2", "nasnet_a", "amoebanet_a"])
def test_default_cfg_fits_the_model(name):
    model = small(name)
    cfg = model.default_cfg
    state = model.state_dict()
    assert cfg["classifier"] + ".weight" in state
    assert cfg["first_conv"] + ".weight" in state
    assert "head" not in state
    model.reset_classifier(0)
    assert cfg["classifier"] + ".weight" not in model.state_dict()
    model.reset_classifier(0, "")
    assert model(image()).shape == (2, model.num_features, 2, 2)
    assert cfg["pool_size"] == (7, 7)
    assert cfg["input_size"] == (3, 224, 224)


def test_paper_network_is_the_default():
    with torch.device("meta"):
        model = timm.create_model("pdarts_cifar10")
    assert model.num_classes == 1000
    assert [info["num_chs"] for info in model.feature_info] == [48, 192, 384, 768]
    assert len(model.body.cells) == 14


def test_reset_classifier_gives_a_fresh_head_and_keeps_the_pooling():
    model = small(global_pool="max")
    model.reset_classifier(7)
    assert model.get_classifier().out_features == model(image()).shape[1] == model.num_classes == 7
    assert model.global_pool.pool_type == "max"
    model.reset_classifier(3, "catavgmax")
    assert model.get_classifier().in_features == 2 * model.num_features
    assert model(image()).shape == (2, 3)


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax"])
def test_global_pool(pool):
    model = small(global_pool=pool).eval()
    level = model.forward_features(image())
    average, peak = level.mean((2, 3)), level.amax((2, 3))
    expected = {"avg": average, "max": peak, "avgmax": (average + peak) / 2, "catavgmax": torch.cat([average, peak], 1)}
    torch.testing.assert_close(model.forward_head(level, pre_logits=True), expected[pool])


@pytest.mark.parametrize("channels", [1, 4])
def test_in_chans(channels):
    assert small(in_chans=channels)(image(channels=channels)).shape == (2, 5)


def test_drop_rate_drops_in_training_only():
    model = small(drop_rate=0.9).eval()
    level = model.forward_features(image())
    assert torch.equal(model.forward_head(level, pre_logits=True), level.mean((2, 3)))
    assert (model.train().forward_head(level, pre_logits=True) == 0).float().mean() > 0.5


def test_drop_path_rate_reaches_every_cell():
    model = small(drop_path_rate=0.5)
    assert {model.body.cell(i).drop_path_rate for i in range(3)} == {0.5}
    frozen = model.eval()
    assert torch.equal(frozen(image()), frozen(image()))


def test_forward_is_head_of_features():
    model = small().eval()
    x = image()
    torch.testing.assert_close(model(x), model.forward_head(model.forward_features(x)))


def test_forward_intermediates_agrees_with_forward():
    model = small().eval()
    x = image()
    last, levels = model.forward_intermediates(x)
    assert len(levels) == LEVELS
    torch.testing.assert_close(last, model.forward_features(x))
    torch.testing.assert_close(levels[-1], last)
    stopped, few = model.forward_intermediates(x, indices=[0, 1], stop_early=True)
    torch.testing.assert_close(few, levels[:2])
    torch.testing.assert_close(stopped, levels[1])
    torch.testing.assert_close(model.forward_intermediates(x, indices=2, intermediates_only=True), levels[2:])
    with pytest.raises(ValueError, match="NLC"):
        model.forward_intermediates(x, output_fmt="NLC")


def test_prune_intermediate_layers_keeps_the_result():
    model = small().eval()
    x = image()
    wanted = model.forward_intermediates(x, indices=[0, 1], intermediates_only=True)
    size = sum(p.numel() for p in model.parameters())
    assert model.prune_intermediate_layers([0, 1]) == [0, 1]
    assert sum(p.numel() for p in model.parameters()) < size
    assert isinstance(model.get_classifier(), nn.Identity)
    torch.testing.assert_close(model.forward_intermediates(x, indices=[0, 1], intermediates_only=True), wanted)


@pytest.mark.parametrize("wrapper", ["hook", "fx", "getter"])
def test_feature_wrappers_of_timm_agree(wrapper):
    x = image()
    full = small().eval()
    features = small(features_only=True, feature_cls=wrapper, out_indices=(1, 3)).eval()
    for ours, theirs in zip(full.forward_intermediates(x, [1, 3], intermediates_only=True), features(x)):
        torch.testing.assert_close(ours, theirs)


def test_symbolic_tracing_gives_the_same():
    model = small().eval()
    x = image(40, 33)
    traced = timm.models.create_feature_extractor(model, ["classifier"])
    torch.testing.assert_close(traced(x)["classifier"], model(x))


@pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")
@pytest.mark.parametrize("name", ["pdarts_cifar10", "nasnet_a", "amoebanet_a"])
def test_symbolic_tracing_in_training_learns_and_drops_paths(name):
    model = small(name, drop_path_rate=0.3).train()
    functions, modules = list(get_notrace_functions()), list(get_notrace_modules())
    tracer = {"autowrap_functions": functions, "leaf_modules": modules}
    traced = create_feature_extractor(model, ["classifier"], tracer_kwargs=tracer).train()
    first, second = (traced(image())["classifier"] for _ in range(2))
    assert not torch.equal(first, second)
    first.square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated", "ignore:The TorchScript type system")
@pytest.mark.parametrize("name", ["pdarts_cifar10", "snas_aggressive"])
def test_torchscript_compiles_a_traced_network(name):
    """The check of timm's own suite: a feature extractor by symbolic tracing, compiled."""
    model = small(name).eval()
    functions, modules = list(get_notrace_functions()), list(get_notrace_modules())
    tracer = {"autowrap_functions": functions, "leaf_modules": modules, "param_shapes_constant": True}
    traced = create_feature_extractor(model, ["classifier"], tracer_kwargs=tracer)
    torch.testing.assert_close(torch.jit.script(traced)(image())["classifier"], model(image()))


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated", "ignore:The TorchScript type system")
@pytest.mark.parametrize("name", ["pdarts_cifar10", "nasnet_a", "amoebanet_a"])
def test_torchscript_compiles_the_network_in_its_mode(name):
    model = small(name, drop_path_rate=0.3).eval()
    model.set_grad_checkpointing(True)
    script = torch.jit.script(model)
    for x in (image(), image(40, 33, batch=1)):
        torch.testing.assert_close(script(x), model(x))
    assert script.state_dict().keys() == model.state_dict().keys()
    training = torch.jit.script(model.train())
    assert not torch.equal(training(image()), training(image()))


def test_channels_last_and_bfloat16_run():
    model = small().eval().to(memory_format=torch.channels_last)
    x = image().to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x), small().eval()(image()), atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(model(x)).all()


def test_grad_checkpointing_gives_the_same_gradients():
    plain, saving = small().train(), small().train()
    saving.set_grad_checkpointing(True)
    for model in (plain, saving):
        model(image()).square().sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters()):
        torch.testing.assert_close(a.grad, b.grad)
    for (name, a), b in zip(plain.named_buffers(), saving.buffers()):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_group_matcher_covers_every_parameter_in_order(coarse, stem):
    model = small(cells=7, stem=stem)
    groups = group_parameters(model, model.group_matcher(coarse=coarse))
    grouped = [name for names in groups.values() for name in names]
    assert sorted(grouped) == sorted(name for name, _ in model.named_parameters())
    assert len(groups) == 2 + (3 if coarse else 7)
    assert all(name.startswith("body.stem") for name in groups[0])
    assert all(name.startswith("classifier") for name in groups[max(groups)])


def test_cellnet_takes_any_genotype():
    text = zoo.genotype("darts_v2").to_text()
    cellnet, named = small("cellnet", genotype=text).eval(), small("darts_v2").eval()
    torch.testing.assert_close(cellnet(image()), named(image()))
    with pytest.raises(NaswildError, match="genotype="):
        small("cellnet")


def test_weights_file_gives_network_and_classifier(tmp_path):
    network = build_network("darts_v2", "imagenet", 4, 3, num_classes=6, auxiliary=True).eval()
    path = str(tmp_path / "net.safetensors")
    metadata = WeightsMetadata(
        architecture=CellArchitecture.of(network.body), num_classes=6, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
    )
    save_weights(path, network, metadata)
    model = timm.create_model("cellnet", pretrained=True, pretrained_cfg_overlay={"file": path}).eval()
    torch.testing.assert_close(model(image()), network(image()))
    assert model.default_cfg["mean"] == (0.1, 0.2, 0.3)
    other = timm.create_model("darts_v2", pretrained=True, pretrained_cfg_overlay={"file": path}, num_classes=2).eval()
    assert other(image()).shape == (2, 2)
    torch.testing.assert_close(other.forward_features(image()), model.forward_features(image()))
    with pytest.raises(NaswildError, match="another genotype"):
        timm.create_model("pdarts_cifar10", pretrained=True, pretrained_cfg_overlay={"file": path})


def test_no_weights_are_promised():
    with pytest.raises(RuntimeError, match="No pretrained weights"):
        small(pretrained=True)
