"""How a training is carried out: in parts, compiled, in lower precision. What is trained stays the same."""

from functools import partial

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from nas import train_run
from nas.proxies import Proxy
from nas.train import train_classifier
from nas.train_recipe import Execution
from tests.nas.tiny_training import EVERY_STEP, TINY, Killed, assert_same, colours, kill_after, train


@pytest.fixture(scope="module")
def proxy() -> Proxy:
    return colours()


def test_accumulated_parts_sum_to_the_gradient_of_the_whole_batch(proxy, tmp_path):
    """Without batch normalisation, one step on 10 images is the same in one part or in three unequal ones."""
    recipe = TINY.model_copy(update={"epochs": 1, "gradient_clip": 0.01})
    results = []
    for parts in (1, 3):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
        execution = Execution(accumulate=parts)
        train_classifier(network, proxy, recipe, seed=0, workdir=tmp_path / str(parts), execution=execution)
        results.append(network[1].weight.detach())
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-7)


def test_compiled_network_is_trained_and_stored_under_its_own_names(proxy, tmp_path, in_a_process_of_its_own):
    in_a_process_of_its_own(partial(train_compiled, proxy, tmp_path))


def train_compiled(proxy, tmp_path):
    """The graph alone is taken here, not the code made of it, which would take minutes: the result is the same.

    No cutout: in a blanked square all pixels tie for the maximum of a pooling, and rounding would choose between them.
    """
    recipe = TINY.model_copy(update={"augmentation": TINY.augmentation.model_copy(update={"cutout": 0})})
    expected, _ = train(proxy, tmp_path / "plain", recipe)
    real, asked = torch.compile, []

    def graph_only(module, **options):
        asked.append(options)
        return real(module, backend="eager")

    torch.compile = graph_only  # in this process alone
    weights, _ = train(proxy, tmp_path, recipe, execution=Execution(compile=True))
    assert asked[0] == {"options": {"fallback_random": True}}
    torch.testing.assert_close(weights, dict(expected), rtol=1e-3, atol=1e-4)
    assert torch.load(tmp_path / "checkpoint.pt")["network"].keys() == weights.keys()


def half_precision(growth: int = 2) -> Fabric:
    """16-mixed on a CPU, with a scaler that doubles its scale after every ``growth`` steps."""
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=growth)
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    return Fabric(accelerator="cpu", devices=1, plugins=[plugin])


def test_gradient_scaler_is_part_of_the_checkpoint(proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(train_run, "connect", lambda *_: half_precision())
    recipe = TINY.model_copy(update={"precision": "16-mixed"})
    whole, _ = train(proxy, tmp_path / "a", recipe)
    with pytest.raises(Killed):
        train(proxy, tmp_path / "b", recipe, report=kill_after(4), execution=EVERY_STEP)
    assert torch.load(tmp_path / "b" / "checkpoint.pt")["scaler"]["scale"] == 32.0
    weights, _ = train(proxy, tmp_path / "b", recipe)
    assert torch.load(tmp_path / "b" / "checkpoint.pt")["scaler"]["scale"] == 64.0
    assert_same(weights, whole)


def test_lower_precision_keeps_the_weights_in_full(proxy, tmp_path):
    in_full, full_outcome = train(proxy, tmp_path / "full")
    weights, outcome = train(proxy, tmp_path / "lower", TINY.model_copy(update={"precision": "bf16-mixed"}))
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float32}
    assert not torch.equal(weights["classifier.weight"], in_full["classifier.weight"])
    first, full = outcome.history[0]["train_loss"], full_outcome.history[0]["train_loss"]
    assert first == pytest.approx(full, rel=0.02)  # later the two go their own ways
