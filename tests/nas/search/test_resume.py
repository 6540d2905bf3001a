"""Killed within an epoch, at its end, and in the next: every method ends as if nothing had happened, bit for bit."""

import pytest
import torch

from nas.errors import NaswildError
from nas.images import MemoryImages
from nas.proxies import Proxy
from nas.search import SearchExecution, default_recipe, method_names, search

EVERY_STEP = SearchExecution(accelerator="cpu", checkpoint_seconds=0)
SMALL = {
    "cells": (3,),
    "operations": (8,),
    "channels": (2,),
    "skip_dropout": (0.3,),
    "epochs": 2,
    "warmup_epochs": 0,
    "batch_size": 8,
    "alphas_lr": 0.01,
    "validate_last": 1,
}


class Killed(Exception):
    pass


def kill(_):
    """A reporter that ends the process, so to speak, after the first step that it is told about."""
    raise Killed


@pytest.fixture(scope="module")
def proxy():
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = MemoryImages(pixels, torch.arange(32) % 3)
    return Proxy("noise", images, images, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, 8, "v1")


def without_cost(outcome):
    stages = [stage.model_dump(exclude={"seconds", "peak_memory_bytes"}) for stage in outcome.stages]
    return outcome.genotype, outcome.collapse, stages


@pytest.mark.parametrize("method", [name for name in method_names() if name not in ("random", "pdarts")])
def test_a_method_resumes_to_the_same_bits(proxy, tmp_path, method):
    """Two epochs of two steps; three attempts make one step each, the fourth ends the search. P-DARTS: test_search."""
    recipe = default_recipe(method, **SMALL | ({"channels": (4,)} if method == "pcdarts" else {}))
    whole = search(method, proxy, recipe, seed=0, workdir=tmp_path / "whole")
    options = {"seed": 0, "workdir": tmp_path / "cut", "execution": EVERY_STEP}
    for _ in range(3):
        with pytest.raises(Killed):
            search(method, proxy, recipe, report=kill, **options)
    resumed = search(method, proxy, recipe, **options)
    assert resumed.attempts == 4
    assert without_cost(resumed) == without_cost(whole)
    searching = whole.stages[0].trajectory[-1]
    assert searching.alpha_gradients["skip_connect"] > 0
    assert 0 <= searching.validation_accuracy <= 1


def test_a_checkpoint_cut_short_is_said_and_the_one_before_taken(proxy, tmp_path, caplog):
    recipe = default_recipe("darts", **SMALL)
    whole = search("darts", proxy, recipe, seed=0, workdir=tmp_path / "whole")
    for _ in range(2):
        with pytest.raises(Killed):
            search("darts", proxy, recipe, seed=0, workdir=tmp_path, report=kill, execution=EVERY_STEP)
    newest = tmp_path / "search.ckpt"
    newest.write_bytes(newest.read_bytes()[:500])
    assert without_cost(search("darts", proxy, recipe, seed=0, workdir=tmp_path)) == without_cost(whole)
    assert "damaged" in caplog.text


def test_a_checkpoint_survives_until_the_outcome_is_written(proxy, tmp_path, monkeypatch):
    """Killed after the last step but before the outcome is on disk, a search loses nothing that it has computed."""
    recipe = default_recipe("darts", **SMALL)

    def full(*_):
        raise NaswildError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("nas.search.outcome.atomic_write", full)
        with pytest.raises(NaswildError, match="disk full"):
            search("darts", proxy, recipe, seed=0, workdir=tmp_path)
    resumed = search("darts", proxy, recipe, seed=0, workdir=tmp_path, report=kill)
    assert resumed.attempts == 2
    assert [path.name for path in tmp_path.iterdir()] == ["search.json"]
