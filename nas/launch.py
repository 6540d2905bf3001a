"""Train one network on several devices of this machine from a program that is itself a single process.

``torchrun`` does the same for a script of one's own, and over several machines;
:func:`nas.train.train_classifier` finds the processes of either.
"""

from __future__ import annotations

import os
import queue
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import multiprocessing, nn

from nas.progress import Progress, Report, silent
from nas.proxies import Proxy
from nas.train import TrainOutcome, new_network, train_classifier
from nas.train_recipe import Execution, RetrainRecipe

POLL_SECONDS = 0.1


def train_in_processes(
    source: Any,
    load: Callable[[], Proxy],
    recipe: RetrainRecipe,
    *,
    processes: int,
    seed: int,
    workdir: str | Path,
    report: Report = silent,
    execution: Execution | None = None,
    start_method: Literal["spawn", "fork"] = "spawn",
) -> tuple[nn.Module, TrainOutcome]:
    """Train the network of ``source`` on ``processes`` GPUs, or CPU processes, and return it with its outcome.

    ``source`` is what :func:`~nas.train.new_network` takes; ``load`` opens the data in each process and, with
    ``start_method="spawn"``, must be picklable, as ``functools.partial(load_proxy, "imagenet", root=...)`` is. The
    protocol's batch is divided over the processes. Progress and checkpoints are those of process 0; if one process
    fails the others are ended and its error is raised.
    """
    spawn = multiprocessing.get_context(start_method)
    messages = spawn.Queue()
    final = Path(workdir) / "final.pt"
    arguments = (processes, _free_port(), messages, source, load, recipe, seed, Path(workdir), execution)
    context = multiprocessing.start_processes(_train, arguments, processes, join=False, start_method=start_method)
    assert context is not None  # it is None with join=True only
    outcome: TrainOutcome | None = None
    ended = False
    while not ended or outcome is None:
        ended = context.join(timeout=POLL_SECONDS)
        outcome = _drain(messages, report) or outcome
    saved = torch.load(final, weights_only=True)
    network = new_network(source, recipe, saved["num_classes"], seed=seed)
    network.load_state_dict(saved["network"])
    final.unlink()
    return network, outcome


def _train(
    rank: int,
    processes: int,
    port: int,
    messages: Any,
    source: Any,
    load: Callable[[], Proxy],
    recipe: RetrainRecipe,
    seed: int,
    workdir: Path,
    execution: Execution | None,
) -> None:
    """One of the processes, with the environment that ``torchrun`` would give it."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {name: str(number) for name, number in numbers.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "0"}
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    proxy = load()
    network = new_network(source, recipe, proxy.num_classes, seed=seed)
    report: Report = messages.put if rank == 0 else silent
    outcome = train_classifier(network, proxy, recipe, seed=seed, workdir=workdir, report=report, execution=execution)
    if rank == 0:
        torch.save({"network": network.state_dict(), "num_classes": proxy.num_classes}, workdir / "final.pt")
        messages.put(outcome)
    torch.distributed.destroy_process_group()


def _drain(messages: Any, report: Report) -> TrainOutcome | None:
    """Pass on what process 0 has said; its last word is the outcome."""
    while True:
        try:
            message = messages.get_nowait()
        except queue.Empty:
            return None
        if not isinstance(message, Progress):
            return message
        report(message)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
