"""Whole searches in miniature: what they leave, and that an interrupted one ends as an uninterrupted one."""

import pytest
import torch

from nas.errors import NaswildError, UnknownName
from nas.genotype import Genotype
from nas.images import MemoryImages
from nas.proxies import Proxy
from nas.search import SearchExecution, SearchOutcome, default_recipe, method_names, register_method, search
from nas.search import methods as registry
from nas.search.recipe import SearchRecipe
from nas.search.space import EDGES

TINY = SearchRecipe(
    cells=(3, 3),
    operations=(8, 3),
    channels=(2, 2),
    skip_dropout=(0.0, 0.5),
    epochs=2,
    warmup_epochs=1,
    batch_size=8,
    augmentation={"padding": 1, "flip": True, "cutout": 2},
    validate_last=1,
)
EVERY_STEP = SearchExecution(checkpoint_seconds=0)
ONE_STAGE = {
    "cells": (3,),
    "operations": (8,),
    "channels": (4,),
    "skip_dropout": (0.0,),
    "epochs": 1,
    "warmup_epochs": 0,
}


class Killed(Exception):
    pass


class Killer:
    """A reporter that ends the process, so to speak, at its ``stop``-th call."""

    def __init__(self, stop):
        self.left = stop

    def __call__(self, _):
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.fixture(scope="module")
def proxy():
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 3, 8, 8), generator=draw, dtype=torch.uint8)
    images = MemoryImages(pixels, torch.arange(40) % 3)
    return Proxy("noise", images, images, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, 8, "v1")


@pytest.fixture(scope="module")
def whole(proxy, tmp_path_factory):
    return search("pdarts", proxy, TINY, seed=0, workdir=tmp_path_factory.mktemp("whole"))


def without_cost(outcome):
    plain = outcome.model_dump(mode="json")
    for part in (plain, *plain["stages"]):
        for name in ("seconds", "peak_memory_bytes", "attempts"):
            part.pop(name, None)
    return plain


def test_the_outcome_tells_every_stage(whole):
    first, last = whole.stages
    assert whole.genotype == last.genotype
    assert isinstance(first.genotype, Genotype)
    assert [len(names) for names in first.operations["normal"]] == [8] * len(EDGES)
    assert [len(names) for names in last.operations["reduce"]] == [3] * len(EDGES)
    assert first.survivors is None
    assert 0 <= last.survivors["normal"] <= len(EDGES)
    assert whole.genotype.normal.skips <= 2
    assert set(last.alternatives) <= set(range(9))
    assert whole.macs > 0
    assert whole.within_budget is None


def test_the_trajectory_has_every_epoch(whole):
    for stage in whole.stages:
        warm, searching = stage.trajectory
        assert warm.alphas_loss is None
        assert searching.alphas_loss > 0
        assert warm.validation_accuracy is None
        assert 0 <= searching.validation_accuracy <= 1
        assert sum(searching.top_operations["normal"].values()) == len(EDGES)
        assert searching.alphas == stage.alphas
    assert [record.dropout for record in whole.stages[1].trajectory] == [0.5, pytest.approx(0.03)]


def test_alphas_rest_during_the_warm_up(proxy, tmp_path):
    recipe = TINY.model_copy(update={"alphas_std": 0.0})
    stage = search("pdarts", proxy, recipe, seed=0, workdir=tmp_path).stages[0]
    warm, searching = (torch.tensor(record.alphas["normal"]) for record in stage.trajectory)
    assert (warm == 0).all()
    assert (searching != 0).any()


def test_the_second_stage_competes_with_the_survivors_of_the_first(whole):
    first, last = whole.stages
    for cell in ("normal", "reduce"):
        for names, row, kept in zip(first.operations[cell], first.alphas[cell], last.operations[cell]):
            assert set(kept) == {name for _, name in sorted(zip(row, names))[-3:]}


@pytest.mark.parametrize("stop", [1, 2, 4, 5])
def test_a_killed_search_ends_as_an_uninterrupted_one(proxy, whole, tmp_path, stop):
    """Stages have two epochs of two steps: within an epoch, after one, and between the stages."""
    with pytest.raises(Killed):
        search("pdarts", proxy, TINY, seed=0, workdir=tmp_path, report=Killer(stop), execution=EVERY_STEP)
    resumed = search("pdarts", proxy, TINY, seed=0, workdir=tmp_path)
    assert without_cost(resumed) == without_cost(whole)
    assert resumed.attempts == 2


def test_a_search_killed_before_its_first_checkpoint_starts_again(proxy, whole, tmp_path):
    rarely = SearchExecution(checkpoint_seconds=1e9)
    with pytest.raises(Killed):
        search("pdarts", proxy, TINY, seed=0, workdir=tmp_path, report=Killer(1), execution=rarely)
    assert without_cost(search("pdarts", proxy, TINY, seed=0, workdir=tmp_path)) == without_cost(whole)


def test_a_finished_search_is_read_not_run(proxy, tmp_path):
    first = search("pdarts", proxy, TINY, seed=0, workdir=tmp_path)
    assert search("pdarts", proxy, TINY, seed=0, workdir=tmp_path, report=Killer(1)) == first
    assert SearchOutcome.load(tmp_path / "search.json") == first
    with pytest.raises(NaswildError, match="another search"):
        search("pdarts", proxy, TINY, seed=1, workdir=tmp_path)


def test_another_number_of_parts_is_another_search(proxy, tmp_path):
    """Batch normalisation looks at a part: nothing that one number of parts has left is taken for another's."""
    recipe = TINY.model_copy(update={"batch_size": 8})
    once, in_four = SearchExecution(checkpoint_seconds=0), SearchExecution(accumulate=4)
    with pytest.raises(Killed):
        search("pdarts", proxy, recipe, seed=0, workdir=tmp_path, report=Killer(1), execution=once)
    with pytest.raises(NaswildError, match=r"another search .its parts differ."):
        search("pdarts", proxy, recipe, seed=0, workdir=tmp_path, execution=in_four)
    search("pdarts", proxy, recipe, seed=0, workdir=tmp_path, execution=once)
    with pytest.raises(NaswildError, match=r"another search .its parts differ."):
        search("pdarts", proxy, recipe, seed=0, workdir=tmp_path, execution=in_four)


def test_a_checkpoint_of_another_search_is_refused(proxy, tmp_path):
    with pytest.raises(Killed):
        search("pdarts", proxy, TINY, seed=0, workdir=tmp_path, report=Killer(1), execution=EVERY_STEP)
    with pytest.raises(NaswildError, match="seed differ"):
        search("pdarts", proxy, TINY, seed=1, workdir=tmp_path)


def test_progress_is_reported_every_step(proxy, tmp_path):
    seen = []
    search("pdarts", proxy, TINY, seed=0, workdir=tmp_path, report=seen.append)
    assert [(p.stage, p.epoch, p.step) for p in seen[:5]] == [
        ("search stage 1/2", 0, 1),
        ("search stage 1/2", 0, 2),
        ("search stage 1/2", 1, 1),
        ("search stage 1/2", 1, 2),
        ("search stage 2/2", 0, 1),
    ]
    assert seen[0].metrics["train_loss"] > 0
    assert "alphas_loss" in seen[3].metrics


def test_seeds_differ(proxy, whole, tmp_path):
    other = search("pdarts", proxy, TINY, seed=1, workdir=tmp_path)
    assert other.stages[0].alphas != whole.stages[0].alphas


def test_alphas_can_be_carried_over(proxy, tmp_path):
    recipe = TINY.model_copy(update={"carry_alphas": True})
    first, last = search("pdarts", proxy, recipe, seed=0, workdir=tmp_path).stages
    for names, row, kept, start in zip(
        first.operations["normal"],
        first.alphas["normal"],
        last.operations["normal"],
        last.trajectory[0].alphas["normal"],
    ):
        assert [row[names.index(name)] for name in kept] == pytest.approx(start)


@pytest.mark.parametrize("method", [m for m in method_names() if m not in ("pdarts", "random")])
def test_every_one_stage_method_searches(proxy, tmp_path, method):
    recipe = default_recipe(method, **ONE_STAGE, batch_size=8)
    outcome = search(method, proxy, recipe, seed=0, workdir=tmp_path)
    assert outcome.method == method
    assert outcome.stages[0].trajectory[0].train_loss > 0
    with pytest.raises(NaswildError, match="one stage"):
        search(method, proxy, TINY.model_copy(update={"channels": (4, 4)}), seed=0, workdir=tmp_path / "three")


def test_the_random_method_gives_the_seeded_cell(proxy, tmp_path):
    from nas.search import random_genotype

    outcome = search("random", proxy, seed=5, workdir=tmp_path)
    assert outcome.genotype == random_genotype(5, max_skips=2)
    assert outcome.stages == []


def test_a_budget_is_checked(proxy, tmp_path):
    for budget, within in ((10**12, True), (1, False)):
        recipe = default_recipe("random", max_macs=budget)
        assert search("random", proxy, recipe, seed=0, workdir=tmp_path / str(budget)).within_budget is within


def test_methods_can_be_registered(proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    register_method("mine", lambda task: task.outcome(Genotype.load("darts_v2"), []), SearchRecipe(), "a test")
    assert search("mine", proxy, seed=0, workdir=tmp_path).genotype == Genotype.load("darts_v2")
    with pytest.raises(NaswildError, match="exists already"):
        register_method("darts", SearchRecipe, SearchRecipe())
    with pytest.raises(UnknownName, match="did you mean 'mine'"):
        search("min", proxy, seed=0, workdir=tmp_path / "other")


def test_too_few_images_are_said(proxy, tmp_path):
    with pytest.raises(NaswildError, match="less than one batch of 96"):
        search("pdarts", proxy, seed=0, workdir=tmp_path)


def test_divergence_is_said(proxy, tmp_path):
    recipe = TINY.model_copy(update={"weights_lr": 1e30, "weights_clip": None})
    with pytest.raises(NaswildError, match="diverged in stage 1"):
        search("pdarts", proxy, recipe, seed=0, workdir=tmp_path)
