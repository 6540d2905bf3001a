"""Spread one piece of work over several devices of this machine from a program that is itself a single process.

``torchrun`` does the same for your own script, and over several machines; :func:`nas.train.train_classifier` and
:func:`nas.search.search` find the processes of either.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import multiprocessing, nn

from nas.errors import NaswildError
from nas.progress import Progress, Report, silent
from nas.proxies import Proxy
from nas.train import TrainOutcome, new_network, train_classifier
from nas.train_recipe import Execution, RetrainRecipe

POLL_SECONDS = 0.1
StartMethod = Literal["spawn", "fork"]


def run_in_processes(
    work: Callable[[Report], Any], *, processes: int, report: Report = silent, start_method: StartMethod = "spawn"
) -> Any:
    """Call ``work(report)`` in ``processes`` processes that know of each other as under ``torchrun``.

    Returns what process 0 returns; progress is that of process 0 too. With ``start_method="spawn"``, ``work`` must be
    picklable, as :func:`functools.partial` of a function is. If one process fails the others are ended and its error is
    raised. The processes end when this one dies.
    """
    messages = multiprocessing.get_context(start_method).Queue()
    arguments = (processes, _free_port(), messages, work)
    context = multiprocessing.start_processes(_process, arguments, processes, join=False, start_method=start_method)
    assert context is not None  # it is None with join=True only
    answers: list[Any] = []
    ended = False
    try:
        while not ended or not answers:
            ended = context.join(timeout=POLL_SECONDS)
            answers += _drain(messages, report)
            for failure in [answer for answer in answers if isinstance(answer, NaswildError)]:
                raise failure
    finally:
        for process in context.processes:
            process.kill()
            process.join()
    return answers[0]


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
    start_method: StartMethod = "spawn",
) -> tuple[nn.Module, TrainOutcome]:
    """Train the network of ``source`` on ``processes`` GPUs, or CPU processes, and return it with its outcome.

    ``source`` is what :func:`~nas.train.new_network` takes; ``load`` opens the data in each process and must be
    picklable, as ``functools.partial(load_proxy, "imagenet", root=...)`` is. The protocol's batch is divided over the
    processes.
    """
    final = Path(workdir) / "final.pt"
    work = partial(_train, source, load, recipe, seed, final, execution)
    outcome = run_in_processes(work, processes=processes, report=report, start_method=start_method)
    saved = torch.load(final, weights_only=True)
    network = new_network(source, recipe, saved["num_classes"], seed=seed)
    network.load_state_dict(saved["network"])
    final.unlink()
    return network, outcome


def _train(
    source: Any,
    load: Callable[[], Proxy],
    recipe: RetrainRecipe,
    seed: int,
    final: Path,
    execution: Execution | None,
    report: Report,
) -> TrainOutcome:
    proxy = load()
    network = new_network(source, recipe, proxy.num_classes, seed=seed)
    options: dict[str, Any] = {"seed": seed, "workdir": final.parent, "report": report, "execution": execution}
    outcome = train_classifier(network, proxy, recipe, **options)
    if torch.distributed.get_rank() == 0:
        torch.save({"network": network.state_dict(), "num_classes": proxy.num_classes}, final)
    return outcome


def _process(rank: int, processes: int, port: int, messages: Any, work: Callable[[Report], Any]) -> None:
    """One of the processes, with the environment that ``torchrun`` would give it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=_die_with_parent, daemon=True).start()
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ |= {name: str(number) for name, number in numbers.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "0"}
    torch.set_num_threads(max(1, torch.get_num_threads() // processes))
    try:
        answer = work(messages.put if rank == 0 else silent)
    except NaswildError as error:  # raised again by the parent, as what it is
        messages.put(NaswildError(str(error)))
        return
    if rank == 0:
        messages.put(answer)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _drain(messages: Any, report: Report) -> list[Any]:
    """Pass on the progress that has arrived; returns everything else."""
    answers: list[Any] = []
    while True:
        try:
            message = messages.get_nowait()
        except queue.Empty:
            return answers
        if isinstance(message, Progress):
            report(message)
        else:
            answers.append(message)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
