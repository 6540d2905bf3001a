"""Cost of a search on a GPU at the paper's scale: seconds per step and peak memory by stage (Table 2), hours in total.

    python -m benchmarks.speed.search_gpu              # protocol search-cifar10: batch 96, 32 px, 5, 11 and 17 cells
    python -m benchmarks.speed.search_gpu --stages 1 --profile 15

The plain supernet, ours step by step, and ours captured as CUDA graphs take the same steps, optimisers included, on
images that lie on the GPU. Hours are medians of steps times the steps of the protocol, loading and validation left out.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch.nn import functional

from benchmarks.speed.search import Setting
from nas.search.architecture import ArchitectureWeights
from nas.search.capture import CudaGraphs
from nas.search.plain_supernet import PlainSupernet
from nas.search.recipe import SearchRecipe
from nas.search.stage import Stage
from nas.search.steps import Rules, Steps
from nas.search.team import Team

CLASSES, SIZE, TRAINING_IMAGES = 10, 32, 50_000
GIB = 2**30
CONTESTANTS = ("plain", "ours", "ours, captured")


@dataclass(frozen=True)
class Cost:
    """Median seconds of both steps, and the peak of the allocated memory in bytes."""

    weights: float
    alphas: float
    peak: int

    def hours(self, recipe: SearchRecipe) -> float:
        """A whole stage: a weight step for each batch of half the images, an alphas' step after the warm-up."""
        steps = TRAINING_IMAGES // 2 // recipe.batch_size
        searching = recipe.epochs - recipe.warmup_epochs
        return steps * (recipe.epochs * self.weights + searching * self.alphas) / 3600


class Plain:
    """The plain supernet in the default layout, with the optimisers of a search."""

    def __init__(self, index: int, recipe: SearchRecipe, device: torch.device) -> None:
        sets = setting(index, recipe).sets
        self.recipe = recipe
        self.alphas = ArchitectureWeights(sets).to(device)
        self.network = PlainSupernet(sets, recipe.channels[index], recipe.cells[index], CLASSES).to(device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.025, 0.9, weight_decay=3e-4)
        self.alphas_optimizer = torch.optim.Adam(self.alphas.parameters(), 6e-4, (0.5, 0.999), weight_decay=1e-3)
        self.images, self.labels = batch(recipe, device)

    def _backward(self) -> None:
        self.network.zero_grad()
        self.alphas.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.network(self.images, self.alphas().weights)
        functional.cross_entropy(logits.float(), self.labels).backward()

    def weights_step(self) -> None:
        """As the first DARTS code does: all gradients, clipped, one step."""
        self._backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()

    def alphas_step(self) -> None:
        """All gradients, one step of the alphas."""
        self._backward()
        self.alphas_optimizer.step()


class Ours:
    """The steps of the product."""

    def __init__(self, index: int, recipe: SearchRecipe, device: torch.device, captured: bool) -> None:
        stage = Stage(index, setting(index, recipe).sets, recipe, CLASSES, 0, device)
        stage.begin_epoch()
        self.steps = Steps(stage, Rules(), Team(device), CudaGraphs(device) if captured else None)
        images, labels = batch(recipe, device)
        self.batches = [(images.contiguous(memory_format=torch.channels_last), labels)]

    def weights_step(self) -> None:
        """A step on the network weights."""
        self.steps.weights(self.batches)

    def alphas_step(self) -> None:
        """A step on the architecture weights."""
        self.steps.alphas(self.batches, self.batches)


def make(name: str, index: int, recipe: SearchRecipe, device: torch.device) -> Plain | Ours:
    """One of the contestants, new."""
    if name == "plain":
        return Plain(index, recipe, device)
    return Ours(index, recipe, device, captured=name == "ours, captured")


def setting(index: int, recipe: SearchRecipe) -> Setting:
    """The stage as the other benchmark describes one: what survives is drawn, the same for all."""
    return Setting(recipe.channels[index], recipe.batch_size, SIZE, recipe.cells[index], recipe.operations[index])


def batch(recipe: SearchRecipe, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images (N, 3, 32, 32) and labels."""
    images = torch.randn(recipe.batch_size, 3, SIZE, SIZE, device=device)
    return images, torch.randint(0, CLASSES, (recipe.batch_size,), device=device)


def measure(contestant: Plain | Ours, rounds: int) -> Cost:
    """Median seconds after a warm-up, waiting for the device after each step."""

    def seconds(step: Callable[[], None]) -> float:
        times = []
        for turn in range(rounds + 3):
            torch.cuda.synchronize()
            start = time.perf_counter()
            step()
            torch.cuda.synchronize()
            if turn >= 3:
                times.append(time.perf_counter() - start)
        return median(times)

    weights, alphas = seconds(contestant.weights_step), seconds(contestant.alphas_step)
    return Cost(weights, alphas, torch.cuda.max_memory_allocated())


def show_kernels(contestant: Ours, rows: int) -> None:
    """The kernels that take most of a weight step's time on the device."""
    from torch.profiler import ProfilerActivity, profile

    contestant.weights_step()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as recorded:
        contestant.weights_step()
        torch.cuda.synchronize()
    table = recorded.key_averages().table(sort_by="self_cuda_time_total", row_limit=rows, max_name_column_width=90)
    print(table, flush=True)


def main() -> None:
    """Parse the options and measure the chosen stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, nargs="*", default=[1, 2, 3], choices=[1, 2, 3])
    parser.add_argument("--precision", nargs="*", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--profile", type=int, default=0, metavar="ROWS", help="also show the longest kernels")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("no CUDA device; benchmarks.speed.search measures on a CPU")
    device = torch.device("cuda")
    print(torch.cuda.get_device_name(), "PyTorch", torch.__version__)
    hours: dict[str, float] = {}
    for precision in options.precision:
        recipe = SearchRecipe(precision=precision)
        for stage in options.stages:
            for name in CONTESTANTS:
                gc.collect()
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                contestant = make(name, stage - 1, recipe, device)
                cost = measure(contestant, options.rounds)
                spent = cost.hours(recipe)
                hours[f"{precision} {name}"] = hours.get(f"{precision} {name}", 0.0) + spent
                print(
                    f"{precision:8} stage {stage}  {name:14}  weight step {1e3 * cost.weights:7.1f} ms   alphas' step "
                    f"{1e3 * cost.alphas:7.1f} ms   peak {cost.peak / GIB:6.2f} GiB   stage {60 * spent:6.1f} min",
                    flush=True,
                )
                if options.profile and isinstance(contestant, Ours) and name == "ours":
                    show_kernels(contestant, options.profile)
                del contestant
    for name, total in hours.items():
        print(f"{name:24} {total:.2f} h")


if __name__ == "__main__":
    main()
