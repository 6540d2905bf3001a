"""How fast a training step is, as ratios to the plain implementation measured in the same process.

    python -m benchmarks.speed.train                   # CIFAR (36 channels, 20 cells, batch 16) and ImageNet (batch 8)
    python -m benchmarks.speed.train --networks cifar --rounds 9
    python -m benchmarks.speed.train --processes 2     # data parallelism over two processes with one thread each

Plain is what PyTorch gives without asking: the network by its definition in NCHW memory, PyTorch's own depthwise
convolutions, the optimiser that loops over tensors. The two take turns, and the CPU time is counted, so a busy
machine slows both. With ``--processes`` three steps take turns: of one process while the others wait, of all processes
without and with the exchange of gradients. The first over the last is the efficiency, 1 being as many times the images
a second as there are processes; the second shows what is lost to the memory they share, the rest to the exchange. It is
given twice: by the clock, which says all on a quiet machine, and by CPU seconds, the mean of the processes, which
other work on the machine disturbs less, but in which waiting for each other does not count.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

import torch
from torch import distributed, multiprocessing, nn

from nas.network import Stem, build_network
from nas.parallel import DATA_PARALLEL
from nas.quick import quicken
from nas.train import classification_loss
from nas.train_recipe import RetrainRecipe


class Setting(NamedTuple):
    """What is timed: the paper's network on a batch that one core bears."""

    stem: Stem
    channels: int
    cells: int
    batch: int
    size: int
    classes: int
    drop_path: float


SETTINGS = {
    "cifar": Setting("cifar", 36, 20, batch=16, size=32, classes=10, drop_path=0.15),
    "imagenet": Setting("imagenet", 48, 14, batch=8, size=224, classes=1000, drop_path=0.0),
}


class Contestant:
    """A network with its optimiser and one step of training on a fixed batch, as in :mod:`nas.train`."""

    def __init__(self, setting: Setting, genotype: str, plain: bool) -> None:
        torch.manual_seed(0)
        self.recipe = RetrainRecipe()
        self.network = build_network(
            genotype, setting.stem, setting.channels, setting.cells, setting.classes, auxiliary=True
        )
        self.network.set_drop_path(setting.drop_path)
        order = torch.contiguous_format if plain else torch.channels_last
        self.network.to(memory_format=order)
        if not plain:
            quicken(self.network)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=0.01, momentum=0.9, weight_decay=3e-4, foreach=False, fused=not plain
        )
        self.pixels = torch.randn(setting.batch, 3, setting.size, setting.size).contiguous(memory_format=order)
        self.labels = torch.randint(setting.classes, (setting.batch,))

    def step(self, model: nn.Module | None = None) -> None:
        """Forward (through ``model``, which wraps the network), backward, clip, update."""
        model = model if model is not None else self.network
        loss, _, _ = classification_loss(model(self.pixels), self.labels, self.recipe)
        (loss / len(self.labels)).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Seconds(NamedTuple):
    """What a step took, or a moment from which it is counted: by the clock, and of this process's processor."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> Seconds:
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: Seconds) -> Seconds:
        return Seconds(self.clock - start.clock, self.processor - start.processor)


def take_turns(
    steps: Mapping[str, Callable[[], None]], rounds: int, barrier: Callable[[], object]
) -> dict[str, Seconds]:
    """Median seconds of each of ``steps``, after one round of warming up."""
    seconds: dict[str, list[Seconds]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            barrier()
            started = Seconds.now()
            step()
            seconds[name].append(Seconds.now().since(started))
    return {name: Seconds(*map(median, zip(*values[1:]))) for name, values in seconds.items()}


def compare(name: str, genotype: str, rounds: int) -> float:
    """Print and return how many times faster our step is than the plain one."""
    plain, ours = (Contestant(SETTINGS[name], genotype, plain) for plain in (True, False))
    steps = {"plain": plain.step, "ours": ours.step}
    seconds = take_turns(steps, rounds, barrier=lambda: None)
    slow, quick = seconds["plain"].processor, seconds["ours"].processor
    print(f"{name:9} plain {slow:.3f} s   ours {quick:.3f} s   {slow / quick:.2f}x faster", flush=True)
    return slow / quick


def measure_parallel(rank: int, processes: int, port: int, name: str, genotype: str, rounds: int) -> None:
    """One process of the data-parallel measurement; process 0 prints."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    contestant = Contestant(SETTINGS[name], genotype, plain=False)
    parallel = nn.parallel.DistributedDataParallel(contestant.network, **DATA_PARALLEL)

    def alone() -> None:
        contestant.step(contestant.network)

    def wait() -> None:
        """What the other processes do while one is timed: they come to the next barrier."""

    steps: dict[str, Callable[[], None]]
    steps = {"one": alone if rank == 0 else wait, "apart": alone, "together": lambda: contestant.step(parallel)}
    seconds = take_turns(steps, rounds, barrier=distributed.barrier)
    one = seconds["one"]
    apart, together = (_mean_over_processes(seconds[step]) for step in ("apart", "together"))
    for by in Seconds._fields if rank == 0 else ():
        alone_s, apart_s, together_s = (getattr(step, by) for step in (one, apart, together))
        print(
            f"{name:9} {by:10} one process {alone_s:.3f} s; {processes} at once {apart_s:.3f} s, with the exchange of "
            f"gradients {together_s:.3f} s   efficiency {alone_s / together_s:.2f}",
            flush=True,
        )
    distributed.destroy_process_group()


def _mean_over_processes(seconds: Seconds) -> Seconds:
    total = torch.tensor(seconds, dtype=torch.float64)
    distributed.all_reduce(total)
    return Seconds(*(total / distributed.get_world_size()).tolist())


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    """Parse the options and measure the chosen networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--genotype", default="pdarts_cifar10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.networks:
        if options.processes == 1:
            compare(name, options.genotype, options.rounds)
        else:
            arguments = (options.processes, _free_port(), name, options.genotype, options.rounds)
            multiprocessing.start_processes(measure_parallel, arguments, options.processes, start_method="spawn")


if __name__ == "__main__":
    main()
