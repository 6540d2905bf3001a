"""Captured steps, with a stand-in for CUDA graphs: what a replay reads and writes, and when it is captured again.

Only the calls of ``torch.cuda`` are left out: there is no GPU where these tests have to pass.
"""

import logging

import pytest
import torch
from torch import nn

from nas.images import MemoryImages
from nas.progress import silent
from nas.proxies import Proxy
from nas.search import SearchRecipe
from nas.search.capture import CapturedStep, Computed, Inputs, choose_capturer
from nas.search.data import SearchData
from nas.search.loop import search_stage
from nas.search.space import full_space
from nas.search.stage import Stage
from nas.search.steps import Rules, Steps
from nas.search.team import Team

CPU = torch.device("cpu")
RECIPE = SearchRecipe(
    cells=(3,),
    operations=(8,),
    channels=(2,),
    skip_dropout=(0.5,),
    epochs=2,
    warmup_epochs=1,
    batch_size=8,
    alphas_lr=0.01,
    alphas_clip=5.0,
    augmentation={"padding": 1, "flip": True, "cutout": 0},
)


class Graphs:
    """Like CUDA graphs: warms up, restores, and then runs the same computation from and to the same memory."""

    def __init__(self):
        self.captures = self.replays = 0

    def __call__(self, compute, inputs, kept):
        before = [value.clone() for value in kept]
        compute(inputs)
        self.captures += 1
        places = compute(inputs)
        self.blur(places)
        torch._foreach_copy_(list(kept), before)
        memory = inputs.tensors()

        def replay():
            self.replays += 1
            assert all(a is b for a, b in zip(memory, inputs.tensors()))
            figures, gradients = compute(inputs)
            places.figures.copy_(figures)
            torch._foreach_copy_(places.gradients, gradients)

        return places, replay

    def blur(self, places):
        """A capture computes nothing: what lies in the output is anything."""
        for tensor in [places.figures, *places.gradients]:
            tensor.fill_(float("nan"))


@pytest.fixture(scope="module")
def proxy():
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = MemoryImages(pixels, torch.arange(32) % 3)
    return Proxy("noise", images, images, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, 8, "v1")


def finished(proxy, rules, capturer, team=Team(CPU), recipe=RECIPE):  # noqa: B008 - immutable
    stage = Stage(0, full_space(), recipe, 3, 0, CPU)
    search_stage(Steps(stage, rules, team, capturer), SearchData(proxy, recipe, 0, team), lambda: None, silent)
    return {**stage.supernet.state_dict(), **stage.architecture.state_dict()}, stage.trajectory


@pytest.mark.parametrize(
    ("rules", "accumulate"),
    [(Rules(), 2), (Rules(sampling="gumbel"), 1), (Rules(sampling="gumbel", joint=True), 1)],
)
def test_captured_steps_equal_the_others(proxy, rules, accumulate):
    team = Team(CPU, accumulate=accumulate)
    plain, graphs = finished(proxy, rules, None, team), Graphs()
    captured = finished(proxy, rules, graphs, team)
    assert graphs.replays == accumulate * (4 if rules.joint else 6)  # 2 epochs of 2 steps, the second searches
    assert captured[1] == plain[1]
    for name, value in plain[0].items():
        assert torch.equal(captured[0][name], value), name


def captures(rules, **changes):
    """How often the steps of three epochs, the last two of which search, are captured; nothing is computed."""
    recipe = RECIPE.model_copy(update={"epochs": 3} | changes)
    stage, graphs = Stage(0, full_space(), recipe, 3, 0, CPU), Graphs()
    steps = Steps(stage, rules, Team(CPU), graphs)
    steps._compute = lambda kind, _: Computed(torch.zeros(3), [torch.zeros_like(p) for p in steps.parameters[kind]])
    batch = [(torch.zeros(8, 3, 8, 8), torch.zeros(8, dtype=torch.int64))]
    for stage.epoch in range(3):
        for stage.step in range(2):
            if stage.epoch >= 1:
                steps.alphas(batch, batch)
            steps.weights(batch)
    return graphs.captures


def test_steps_are_captured_again_when_the_dropout_changes():
    assert captures(Rules(), skip_dropout=(0.5,)) == 3 + 2  # weights in every epoch, alphas in the last two
    assert captures(Rules(), skip_dropout=(0.5,), skip_dropout_decay="constant") == 1 + 1
    assert captures(Rules(), skip_dropout=(0.0,)) == 1 + 1


def test_steps_are_captured_again_when_the_temperature_changes_and_is_used():
    changes = {"skip_dropout": (0.0,), "temperature": (2.0, 1.0)}
    assert captures(Rules(sampling="gumbel"), **changes) == 3 + 2
    assert captures(Rules(), **changes) == 1 + 1


class Summing:
    """A step whose gradients are sum and number of its inputs, and which counts itself in a statistic."""

    def __init__(self):
        self.weight = nn.Parameter(torch.zeros(2))
        self.statistic = torch.zeros(1)
        self.graphs = Graphs()
        self.step = CapturedStep(self.compute, [self.weight], [self.statistic], self.graphs)

    def compute(self, inputs):
        self.statistic += 1
        number = torch.tensor(float(len(inputs.images)))
        return Computed(inputs.labels.float().sum()[None], [torch.stack([inputs.images.sum(), number])])

    def __call__(self, values, key="a", seed=lambda: None):
        return self.step(key, Inputs(torch.tensor(values), torch.ones(len(values))), seed)


def test_inputs_are_copied_and_gradients_are_where_the_optimiser_looks():
    step = Summing()
    first = step([1.0, 2.0])
    assert step.weight.grad.tolist() == [3.0, 2.0]
    step.weight.grad = None
    second = step([3.0, 4.0])
    assert second.gradients[0] is first.gradients[0]
    assert step.weight.grad is second.gradients[0]
    assert step.weight.grad.tolist() == [7.0, 2.0]
    assert (step.graphs.captures, step.graphs.replays) == (1, 2)


def test_what_is_kept_is_as_if_there_had_been_no_warm_up():
    step = Summing()
    step([1.0, 2.0])
    step([1.0, 2.0])
    assert step.statistic.item() == 2


def test_another_key_or_shape_is_captured_anew():
    step = Summing()
    for values, key, captures in (([1.0, 2.0], "a", 1), ([1.0], "a", 2), ([1.0], "a", 2), ([1.0], "b", 3)):
        step(values, key)
        assert step.graphs.captures == captures


def test_generators_are_seeded_between_capture_and_replay():
    step, seen = Summing(), []
    step([1.0], seed=lambda: seen.append((step.graphs.captures, step.graphs.replays)))
    assert seen == [(1, 0)]


def test_steps_are_captured_on_gpus_unless_something_is_in_the_way(caplog, monkeypatch):
    monkeypatch.setattr("nas.search.capture.CudaGraphs", lambda device: ("graphs", device))
    gpu = torch.device("cuda")
    assert choose_capturer(gpu, wanted=True, obstacle=None) == ("graphs", gpu)
    assert choose_capturer(CPU, wanted=True, obstacle=None) is None
    assert choose_capturer(gpu, wanted=False, obstacle=None) is None
    assert not caplog.records
    with caplog.at_level(logging.INFO):
        assert choose_capturer(gpu, wanted=True, obstacle="darts2 moves the weights") is None
    assert "not captured as CUDA graphs: darts2 moves the weights" in caplog.text
