"""Training from images decoded on demand: worker processes, resuming and skipped files change nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas import listing
from nas.evaluate import evaluate_classifier
from nas.images import MemoryImages
from nas.loading import Loader
from nas.progress import Progress
from nas.proxies import load_proxy
from nas.train import new_network, train_classifier
from nas.train_recipe import Augmentation, Execution, RetrainRecipe

RECIPE = RetrainRecipe(
    network={"stem": "imagenet", "channels": 4, "cells": 3},
    epochs=2,
    batch_size=4,
    auxiliary_weight=0.0,
    label_smoothing=0.1,
    augmentation={"crop": "resized", "cutout": 0, "colour_jitter": (0.4, 0.4, 0.4, 0.2)},
)


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch) -> Path:
    """Twelve pictures of 48 x 40 pixels in two classes, as a set too large for memory."""
    monkeypatch.setattr(listing, "MEMORY_LIMIT", 0)
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
    return tmp_path / "set"


def train(root: Path, workdir: Path, workers: int, corrupt="error", **options):
    proxy = load_proxy(root, image_size=32, corrupt=corrupt)
    network = new_network("darts_v2", RECIPE, 2, seed=0)
    execution = Execution(workers=workers, checkpoint_seconds=0)
    outcome = train_classifier(network, proxy, RECIPE, seed=0, workdir=workdir, execution=execution, **options)
    return network.state_dict(), outcome


def stop_after_three_steps(progress: Progress) -> None:
    if progress.epoch * progress.steps + progress.step == 3:
        raise InterruptedError


def test_workers_and_resuming_change_no_bit(photographs, tmp_path):
    alone, _ = train(photographs, tmp_path / "a", workers=0)
    with pytest.raises(InterruptedError):
        train(photographs, tmp_path / "b", workers=1, report=stop_after_three_steps)
    helped, _ = train(photographs, tmp_path / "b", workers=1)
    assert [name for name in alone if not torch.equal(alone[name], helped[name])] == []


def test_skipped_corrupt_images_are_counted_in_the_outcome(photographs, tmp_path):
    for place in ("train/cat/1.jpg", "val/dog/0.jpg"):
        (photographs / place).write_bytes(b"damaged")
    _, outcome = train(photographs, tmp_path / "a", workers=0, corrupt="skip")
    assert outcome.corrupt_images == 2
    assert outcome.top1 in (0.0, 1 / 3, 2 / 3, 1.0)  # of the three images that could be read


@pytest.mark.parametrize("resident", [True, False])
def test_corrupt_images_are_counted_once_whatever_reads_them(photographs, tmp_path, monkeypatch, resident):
    if resident:
        monkeypatch.undo()
    for place in ("train/cat/1.jpg", "val/dog/0.jpg"):
        (photographs / place).write_bytes(b"damaged")
    proxy = load_proxy(photographs, image_size=32, corrupt="skip")
    assert isinstance(proxy.train, MemoryImages) == resident
    recipe = RECIPE.model_copy(update={"holdout": 0.25, "batch_size": 3})
    options = {"seed": 0, "execution": Execution(workers=0, checkpoint_seconds=0)}
    network = new_network("pdarts_cifar10", recipe, 2, seed=0)
    with pytest.raises(InterruptedError):
        train_classifier(network, proxy, recipe, workdir=tmp_path, report=stop_after_three_steps, **options)
    network = new_network("pdarts_cifar10", recipe, 2, seed=0)
    outcome = train_classifier(network, proxy, recipe, workdir=tmp_path, **options)
    assert outcome.corrupt_images == 2
    assert evaluate_classifier(network, proxy).left_out == 1


def test_cutout_is_blank_after_normalisation_for_photographs_too(photographs):
    proxy = load_proxy(photographs, image_size=32)
    loader = Loader(proxy.train, 32, proxy.mean, proxy.std, torch.device("cpu"))
    recipe = Augmentation(crop="resized", cutout=8)
    (pixels, _), *_ = loader.augmented([torch.arange(8)], recipe, seed=0, epoch=0)
    blank = (pixels == 0).all(dim=1).sum(dim=(1, 2))
    assert all(16 <= count <= 64 + 2 for count in blank.tolist())
