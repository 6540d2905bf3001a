"""How fast and lean the search is, as ratios to the plain supernet measured in the same process.

    python -m benchmarks.speed.search                  # C = 16, batch 16, 32 px, stages 1 to 3, one thread
    python -m benchmarks.speed.search --stages 1 --rounds 9
    python -m benchmarks.speed.search --gdas           # steps of GDAS against the same steps with all operations

For each stage it prints the median seconds of a weight step and of an architecture step of both (the two take turns, so
a busy machine slows both), the peak of the memory that a weight step allocates, and the number of kernels that a
weight step launches on a GPU (counted without one, on tensors that have no values).
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from nas.operations import SEARCH_SPACE
from nas.search.architecture import ArchitectureWeights, Mixture
from nas.search.plain_supernet import PlainSupernet
from nas.search.recipe import SearchRecipe
from nas.search.space import CELLS, EDGES
from nas.search.supernet import Supernet

CLASSES = 10


@dataclass(frozen=True)
class Setting:
    """What is timed: width, batch, image side, and depth and operations of the stage."""

    channels: int
    batch: int
    size: int
    cells: int
    operations: int

    @cached_property
    def sets(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Operations of each edge: all eight, or a seeded choice like the one that a search would be left with."""
        draw = random.Random(0)
        return {
            cell: tuple(
                tuple(sorted(draw.sample(SEARCH_SPACE, self.operations), key=SEARCH_SPACE.index)) for _ in EDGES
            )
            for cell in CELLS
        }


class Contestant:
    """A supernet with its alphas and the two steps of a search, without the optimisers (the same for both)."""

    def __init__(self, setting: Setting, plain: bool, checkpointing: bool = False, device: str = "cpu") -> None:
        torch.manual_seed(0)
        sets = setting.sets
        self.plain = plain
        self.alphas = ArchitectureWeights(sets).to(device)
        self.mixture: Callable[[], Mixture] = self.alphas
        self.network: nn.Module
        if plain:
            self.network = PlainSupernet(sets, setting.channels, setting.cells, CLASSES).to(device)
        else:
            recipe = SearchRecipe(checkpointing=checkpointing)
            self.network = Supernet(sets, setting.channels, setting.cells, CLASSES, recipe).to(device)
        self.images = torch.randn(setting.batch, 3, setting.size, setting.size, device=device)
        self.labels = torch.zeros(setting.batch, dtype=torch.int64, device=device)

    def _loss(self, detach: bool) -> Tensor:
        mixture = self.mixture().detach() if detach else self.mixture()
        out = self.network(self.images, mixture.weights if self.plain else mixture)
        return functional.cross_entropy(out, self.labels)

    def weight_step(self) -> None:
        """Gradients of the network weights."""
        self.network.zero_grad()
        self._loss(detach=True).backward()

    def alphas_step(self) -> None:
        """Gradients of the alphas; the plain supernet computes all, as the first DARTS code does."""
        self.alphas.zero_grad()
        self.network.requires_grad_(self.plain)
        self._loss(detach=False).backward()
        self.network.requires_grad_(True)


def interleaved(steps: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each step, taking turns; the first turn warms up and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn:
                seconds[name].append(time.process_time() - start)
    return {name: median(values) for name, values in seconds.items()}


def peak_bytes(step: Callable[[], None]) -> int:
    """Largest sum of what ``step`` has allocated and not yet freed, from PyTorch's allocator events."""
    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    kineto: Any = recorded.profiler
    held = peak = 0
    for event in kineto.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


class _Launches(TorchDispatchMode):
    """Counts operations that compute something: no views, no allocations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        if not (func.is_view or "empty" in name or name.startswith(("aten::detach", "aten::_unsafe_view"))):
            self.count += 1
        return func(*args, **(kwargs or {}))


def launches(setting: Setting, plain: bool) -> int:
    """Kernels of one weight step on a GPU."""
    contestant = Contestant(setting, plain, device="meta")  # no values, and not the path that is for CPUs
    with _Launches() as counter:
        contestant.weight_step()
    return counter.count


def compare(stage: int, setting: Setting, rounds: int) -> dict[str, float]:
    """Measure one stage, print its lines, return the ratios (above 1: faster; memory: below 1 is leaner)."""
    plain, fast = Contestant(setting, plain=True), Contestant(setting, plain=False)
    ratios = {}
    for name in ("weight_step", "alphas_step"):
        seconds = interleaved({"plain": getattr(plain, name), "ours": getattr(fast, name)}, rounds)
        ratios[name] = seconds["plain"] / seconds["ours"]
        _line(stage, name, f"{seconds['plain']:.3f} s", f"{seconds['ours']:.3f} s", f"{ratios[name]:.1f}x faster")
    base = peak_bytes(plain.weight_step)
    lean = Contestant(setting, plain=False, checkpointing=True)
    for name, contestant in (("memory", fast), ("memory, checkpointing", lean)):
        peak = peak_bytes(contestant.weight_step)
        ratios[name] = peak / base
        _line(stage, name, f"{base / 2**20:.0f} MiB", f"{peak / 2**20:.0f} MiB", f"{ratios[name]:.2f} of it")
    counts = launches(setting, plain=True), launches(setting, plain=False)
    ratios["launches"] = counts[0] / counts[1]
    _line(stage, "launches", str(counts[0]), str(counts[1]), f"{ratios['launches']:.1f}x fewer")
    return ratios


def compare_gdas(setting: Setting, rounds: int) -> dict[str, float]:
    """Steps of GDAS, which compute the sampled operation of each edge, against steps that compute all of them."""
    one, every = Contestant(setting, plain=False), Contestant(setting, plain=False)
    source = torch.Generator().manual_seed(0)

    def sample() -> Mixture:
        return one.alphas("gumbel_hard", 1.0, one.alphas.draw_noise(source))

    one.mixture = sample
    every.mixture = lambda: replace(sample(), chosen=None)
    ratios = {}
    for name in ("weight_step", "alphas_step"):
        steps = {"all": getattr(every, name), "sampled": getattr(one, name)}
        seconds = interleaved(steps, rounds)
        ratios[name] = seconds["all"] / seconds["sampled"]
        print(f"GDAS  {name:12} all {seconds['all']:.3f} s   sampled {seconds['sampled']:.3f} s   {ratios[name]:.1f}x")
    ratios["memory"] = peak_bytes(one.weight_step) / peak_bytes(every.weight_step)
    print(f"GDAS  peak memory of a weight step: {ratios['memory']:.2f} of that with all")
    return ratios


def _line(stage: int, name: str, plain: str, ours: str, ratio: str) -> None:
    print(f"stage {stage}  {name:22} plain {plain:>10}   ours {ours:>10}   {ratio}", flush=True)


def main() -> None:
    """Parse the options and measure the chosen stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, nargs="*", default=[1, 2, 3], choices=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gdas", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.gdas:
        compare_gdas(Setting(options.channels, options.batch, options.size, cells=6, operations=8), options.rounds)
        return
    recipe = SearchRecipe()
    for stage in options.stages:
        depth, count = recipe.cells[stage - 1], recipe.operations[stage - 1]
        compare(stage, Setting(options.channels, options.batch, options.size, depth, count), options.rounds)


if __name__ == "__main__":
    main()
