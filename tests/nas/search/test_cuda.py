"""Searches on a GPU: captured steps are the others' steps, and the host never waits for the device."""

import pytest
import torch

from nas.images import MemoryImages
from nas.native.gpu import on_gpu
from nas.progress import silent
from nas.proxies import Proxy
from nas.search import SearchRecipe, stacks
from nas.search.capture import CudaGraphs
from nas.search.data import SearchData
from nas.search.loop import search_stage
from nas.search.space import full_space
from nas.search.stage import Stage
from nas.search.steps import Rules, Steps
from nas.search.team import Team

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

RECIPE = SearchRecipe(
    cells=(3,),
    operations=(8,),
    channels=(4,),
    skip_dropout=(0.5,),
    epochs=2,
    warmup_epochs=1,
    batch_size=8,
    alphas_lr=0.01,
    augmentation={"padding": 1, "flip": True, "cutout": 0},
)


@pytest.fixture(scope="module")
def proxy():
    pixels = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = MemoryImages(pixels, torch.arange(64) % 3)
    return Proxy("noise", images, images, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, 16, "v1")


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def finished(proxy, rules, device, capturer):
    team = Team(device)
    stage = Stage(0, full_space(), RECIPE, 3, 0, device)
    search_stage(Steps(stage, rules, team, capturer), SearchData(proxy, RECIPE, 0, team), lambda: None, silent)
    return stage


@pytest.mark.parametrize("rules", [Rules(), Rules(sampling="gumbel"), Rules(sampling="gumbel", joint=True)])
def test_captured_steps_equal_the_others(proxy, rules):
    device = torch.device("cuda")
    plain = finished(proxy, rules, device, None)
    captured = finished(proxy, rules, device, CudaGraphs(device))
    for cell, alphas in plain.architecture.alphas.items():
        torch.testing.assert_close(captured.architecture.alphas[cell], alphas, rtol=1e-3, atol=1e-3)
    for (name, one), other in zip(plain.supernet.state_dict().items(), captured.supernet.state_dict().values()):
        torch.testing.assert_close(other, one, rtol=1e-2, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


def test_a_step_on_our_kernels_is_the_one_on_pytorch_convolutions(monkeypatch):
    device, results = torch.device("cuda"), {}
    for ours in (True, False):
        monkeypatch.setattr(stacks, "on_gpu", on_gpu if ours else lambda *_: False)
        stage = Stage(0, full_space(), RECIPE.model_copy(update={"skip_dropout": (0.0,)}), 3, 0, device)
        stage.begin_epoch()
        images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)).to(device)
        Steps(stage, Rules(), Team(device)).alphas([(images, torch.arange(8, device=device) % 3)], [])
        results[ours] = {cell: alphas.grad for cell, alphas in stage.architecture.alphas.items()}
    for cell, gradient in results[False].items():
        torch.testing.assert_close(results[True][cell], gradient, rtol=0, atol=1e-3 * gradient.abs().max().item())


def test_a_captured_step_never_waits_for_the_device():
    device = torch.device("cuda")
    stage = Stage(0, full_space(), RECIPE, 3, 0, device)
    stage.begin_epoch()
    steps = Steps(stage, Rules(), Team(device), CudaGraphs(device))
    images = torch.randn(8, 3, 16, 16, device=device).contiguous(memory_format=torch.channels_last)
    batches = [(images, torch.arange(8, device=device) % 3)]
    for _ in range(2):
        steps.alphas(batches, batches)
        steps.weights(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps.alphas(batches, batches)
        steps.weights(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
