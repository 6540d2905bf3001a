"""Backbones under DistributedDataParallel: no parameter is waited for in vain, which PyTorch calls an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import backbones  # noqa: F401  (its import registers the models)
from backbones import build_backbone

pytestmark = pytest.mark.skipif(not distributed.is_gloo_available(), reason="PyTorch was built without gloo")

CELLS = ("pdarts_cifar10", "darts_v2", "nasnet_a", "amoebanet_a", "pnas")
LEVELS = ((0,), (1, 2), (-1,), (0, 1, 2, 3))
HABITS = ({}, {"checkpointing": True}, {"frozen_stages": 1, "norm_eval": True}, {"last_stride": 1}, {"drop_path": 0.3})


class Sum(nn.Module):
    """A loss on all outputs of a backbone or a classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        out = self.network(images)
        return sum(level.square().mean() for level in (out if isinstance(out, list) else [out]))


def two_steps(builders: list[Callable[[], nn.Module]]) -> None:
    """DDP notices at the second step what it waited for in the first."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    for build in builders:
        network = DistributedDataParallel(Sum(build()).train(), find_unused_parameters=False)
        for _ in range(2):
            network(torch.randn(2, 3, 64, 64)).backward()


def test_every_choice_of_levels_and_habits(in_a_process_of_its_own):
    builders = [
        partial(build_backbone, name, channels=4, cells=5, out_indices=levels, **habits)
        for name, habits in zip(CELLS, HABITS, strict=True)
        for levels in LEVELS
        if not (levels == (0,) and "frozen_stages" in habits)  # nothing would be left to train
    ]
    in_a_process_of_its_own(partial(two_steps, builders))


def test_timm_models_with_the_last_level_left_out(in_a_process_of_its_own):
    names = ("test_resnet", "test_efficientnet", "test_vit", "mobilenetv2_035")
    in_a_process_of_its_own(partial(two_steps, [partial(build_backbone, n, out_indices=(1, 2)) for n in names]))


def test_classifiers_and_feature_extractors_of_timm(in_a_process_of_its_own):
    create = partial(timm.create_model, "pdarts_cifar10", channels=4, cells=4)
    features = partial(create, features_only=True, out_indices=(0, 2))
    in_a_process_of_its_own(partial(two_steps, [partial(create, num_classes=5), features]))
