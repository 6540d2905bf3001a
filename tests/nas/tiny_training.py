"""A training that takes a second, a stand-in for SIGKILL, and the comparison of two networks bit by bit."""

from pathlib import Path

import torch

from nas.images import MemoryImages, channel_statistics
from nas.progress import Progress
from nas.proxies import Proxy
from nas.train import new_network, train_classifier
from nas.train_recipe import Execution, RetrainRecipe

EVERY_STEP = Execution(checkpoint_seconds=0)
TINY = RetrainRecipe(
    network={"stem": "cifar", "channels": 4, "cells": 3},
    epochs=2,
    batch_size=10,
    learning_rate=0.05,
    drop_path=0.3,
    augmentation={"padding": 1, "cutout": 3},
)


def colours() -> Proxy:
    """42 images of 8 x 8 pixels in three classes that differ in colour, 32 to train on."""
    source = torch.Generator().manual_seed(0)
    labels = torch.arange(42) % 3
    pixels = torch.randint(0, 120, (42, 3, 8, 8), dtype=torch.uint8, generator=source)
    pixels[torch.arange(42), labels] += 100
    train, test = MemoryImages(pixels[:32], labels[:32]), MemoryImages(pixels[32:], labels[32:])
    mean, std = channel_statistics(train.pixels)
    return Proxy("colours", train, test, ("red", "green", "blue"), mean, std, 8, "v1")


def train(proxy: Proxy, workdir: Path, recipe: RetrainRecipe = TINY, source="pdarts_cifar10", seed=0, **options):
    network = new_network(source, recipe, proxy.num_classes, seed=seed)
    outcome = train_classifier(network, proxy, recipe, seed=seed, workdir=workdir, **options)
    return network.state_dict(), outcome


class Killed(Exception):
    """Stands for SIGKILL: nothing after the step is done any more."""


def kill_after(steps: int):
    def report(progress: Progress) -> None:
        if progress.epoch * progress.steps + progress.step >= steps:
            raise Killed

    return report


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
