"""The optimiser's settings after a swap, read off the groups that mmengine's own constructor makes of them."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

pytest.importorskip("mmdet")

from mmengine.optim import build_optim_wrapper

from backbones import CellBackbone
from backbones.swap_optimizer import rewrite_optimizer

DECAY = 0.05


class Old(nn.Module):
    """Parameters named like a Swin transformer's."""

    def __init__(self) -> None:
        super().__init__()
        self.absolute_pos_embed = nn.Parameter(torch.zeros(3))
        self.patch_embed = nn.ModuleDict({"projection": nn.Conv2d(3, 4, 1), "norm": nn.LayerNorm(4)})
        self.norm0 = nn.LayerNorm(4)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = CellBackbone("pdarts_cifar10", 4, 3)
        self.neck = nn.ModuleDict({"convolution": nn.Conv2d(4, 4, 1), "norm": nn.GroupNorm(2, 4)})
        self.query_embed = nn.Embedding(3, 4)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def rates(wrapper) -> dict[str, tuple[float, float]]:
    """For each parameter of the detector its learning rate and weight decay, with 1 as the base rate."""
    detector = Detector()
    names = {parameter: name for name, parameter in detector.named_parameters()}
    optimizer = build_optim_wrapper(detector, {"type": "OptimWrapper", **wrapper}).optimizer
    groups = [
        (names[p], (group["lr"], group["weight_decay"])) for group in optimizer.param_groups for p in group["params"]
    ]
    assert len(groups) == len(names)
    return dict(groups)


def wrapper(**paramwise):
    return {"optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": DECAY}, "paramwise_cfg": paramwise}


def norms(network: nn.Module) -> set[str]:
    return {
        f"backbone.{name}.{kind}"
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for kind in ("weight", "bias")
    }


SWIN = {  # mask2former's settings for a Swin transformer, without its many blocks
    "custom_keys": {
        "backbone": {"lr_mult": 0.1, "decay_mult": 1.0},
        "backbone.patch_embed.norm": {"lr_mult": 0.1, "decay_mult": 0.0},
        "backbone.norm": {"lr_mult": 0.1, "decay_mult": 0.0},
        "absolute_pos_embed": {"lr_mult": 0.1, "decay_mult": 0.0},
        "query_embed": {"lr_mult": 1.0, "decay_mult": 0.0},
    },
    "norm_decay_mult": 0.0,
}


@pytest.mark.parametrize(("trained", "rate"), [(False, 1.0), (True, 0.1)])
def test_random_weights_learn_at_the_full_rate_and_norms_have_no_decay_either_way(trained, rate):
    config = wrapper(**{**SWIN, "custom_keys": dict(SWIN["custom_keys"])})
    new = Detector().backbone
    changes = rewrite_optimizer(config, Old(), new, trained=trained)
    assert any("backbone.patch_embed.norm" in change for change in changes)
    assert "absolute_pos_embed" not in config["paramwise_cfg"]["custom_keys"]
    found = rates(config)
    for name, (lr, decay) in found.items():
        if name.startswith("backbone."):
            assert lr == pytest.approx(rate), name
            assert decay == (0.0 if name in norms(new) else pytest.approx(DECAY)), name
    assert found["query_embed.weight"] == (1.0, 0.0)


def test_a_key_for_norms_everywhere_stays_and_reaches_the_new_ones_by_the_general_rule():
    keys = {"absolute_pos_embed": {"decay_mult": 0.0}, "norm": {"decay_mult": 0.0}}
    config = wrapper(custom_keys=keys)
    new = Detector().backbone
    rewrite_optimizer(config, Old(), new, trained=False)
    found = rates(config)
    assert {name for name in found if name.startswith("backbone.") and found[name][1] == 0} == norms(new)
    assert found["neck.norm.weight"][1] == 0
    assert found["neck.convolution.weight"][1] == pytest.approx(DECAY)


def test_decay_that_the_old_norms_had_the_new_ones_have():
    config = wrapper(custom_keys={"backbone": {"lr_mult": 0.1}})
    changes = rewrite_optimizer(config, Old(), Detector().backbone, trained=False)
    assert set(rates(config).values()) == {(1.0, DECAY)}
    assert changes == [
        "optim_wrapper.paramwise_cfg.custom_keys: removed (random weights learn at the full rate): backbone "
        "{'lr_mult': 0.1}"
    ]


def test_the_constructor_for_convnext_goes_and_vectors_stay_without_decay():
    config = wrapper(decay_rate=0.7, decay_type="layer_wise", num_layers=6)
    config["constructor"] = "LearningRateDecayOptimizerConstructor"
    (change,) = rewrite_optimizer(config, Old(), Detector().backbone, trained=False)
    assert "ConvNeXt only" in change
    shapes = {name: p.ndim for name, p in Detector().named_parameters()}
    assert all(found == (1.0, 0.0 if shapes[name] == 1 else DECAY) for name, found in rates(config).items())


def test_a_config_without_such_settings_stays_as_it_is():
    assert rewrite_optimizer(None, Old(), Detector().backbone, trained=False) == []
    config = wrapper(norm_decay_mult=0.0)
    assert rewrite_optimizer(config, Old(), Detector().backbone, trained=False) == []
