"""Data parallelism: two processes compute what one computes in two parts, and resume as exactly."""

import os
import socket
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from nas.errors import NaswildError
from nas.images import MemoryImages
from nas.launch import run_in_processes, train_in_processes
from nas.parallel import plan_epoch
from nas.progress import Progress
from nas.proxies import Proxy
from nas.train import new_network, train_classifier
from nas.train_recipe import Execution, RetrainRecipe

RECIPE = RetrainRecipe(
    network={"stem": "cifar", "channels": 4, "cells": 3},
    epochs=2,
    batch_size=8,
    learning_rate=0.05,
    drop_path=0.3,
    augmentation={"padding": 1, "cutout": 3},
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """More threads sum in another order, and these few images make large differences of small ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise() -> Proxy:
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = MemoryImages(pixels, torch.arange(32) % 3)
    return Proxy("noise", images, images, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, 8, "v1")


def stop_after_five_steps(progress: Progress) -> None:
    if progress.epoch * progress.steps + progress.step == 5:
        raise InterruptedError


def train(workdir: Path, **options):
    network = new_network("pdarts_cifar10", RECIPE, 3, seed=0)
    outcome = train_classifier(network, noise(), RECIPE, seed=0, workdir=workdir, **options)
    return network.state_dict(), outcome


def worker(rank: int, port: int, workdir: Path) -> None:
    """What one of two processes under torchrun does: a whole run, and one that is stopped and resumed."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    os.environ |= {name: str(value) for name, value in names.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    whole, outcome = train(workdir / "whole")
    torch.save((whole, outcome.top1, outcome.device), workdir / f"whole-{rank}.pt")
    every_step = Execution(checkpoint_seconds=0)
    with pytest.raises(InterruptedError):
        train(workdir / "stopped", report=stop_after_five_steps, execution=every_step)
    torch.distributed.barrier()
    resumed, _ = train(workdir / "stopped")
    torch.save(resumed, workdir / f"resumed-{rank}.pt")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(worker, (port, workdir), nprocs=2, start_method="fork")
    return workdir


def test_two_processes_equal_one_that_accumulates_two_parts(two_processes, tmp_path):
    alone, _ = train(tmp_path, execution=Execution(accumulate=2))
    first, second = (torch.load(two_processes / f"whole-{rank}.pt") for rank in range(2))
    assert first[1] == second[1]  # one score, from both halves of the test images
    assert first[2].startswith("2 x cpu")
    for name, value in alone.items():
        assert torch.equal(first[0][name], second[0][name])
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):  # those count the batches seen
            torch.testing.assert_close(first[0][name], value, rtol=1e-4, atol=1e-6)


def test_one_program_trains_in_two_processes(two_processes, tmp_path):
    seen: list[Progress] = []
    options = {"processes": 2, "seed": 0, "workdir": tmp_path, "report": seen.append, "start_method": "fork"}
    network, outcome = train_in_processes("pdarts_cifar10", noise, RECIPE, **options)
    torchrun = torch.load(two_processes / "whole-0.pt")
    assert outcome.top1 == torchrun[1]
    assert [name for name, value in network.state_dict().items() if not torch.equal(value, torchrun[0][name])] == []
    assert (seen[-1].epoch, seen[-1].metrics["test_top1"]) == (2, outcome.top1)


def broken() -> Proxy:
    raise NaswildError("no such data")


def test_failure_of_a_process_is_raised(tmp_path):
    options = {"processes": 2, "seed": 0, "workdir": tmp_path, "start_method": "fork"}
    with pytest.raises(NaswildError, match="no such data"):
        train_in_processes("pdarts_cifar10", broken, RECIPE, **options)


def wait_for_ever(folder: Path, _) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(300)


def is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks the system for the state of processes")
def test_processes_end_with_the_program_that_started_them(tmp_path):
    options = {"processes": 2, "start_method": "fork"}
    fork = multiprocessing.get_context("fork")
    program = fork.Process(target=run_in_processes, args=(partial(wait_for_ever, tmp_path),), kwargs=options)
    program.start()
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    program.kill()
    program.join()
    started = [int(path.name) for path in tmp_path.iterdir()]
    while not all(map(is_gone, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(started) == 2
    assert all(map(is_gone, started))


def test_two_processes_resume_to_the_same_bits(two_processes):
    whole = torch.load(two_processes / "whole-0.pt")[0]
    for rank in range(2):
        resumed = torch.load(two_processes / f"resumed-{rank}.pt")
        assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_plan_visits_every_image_once_in_an_order_of_its_own():
    plans = [plan_epoch(50, 16, 3, seed=0, epoch=epoch) for epoch in (0, 1)]
    orders = [torch.cat([part for batch in plan for part in batch]) for plan in plans]
    assert [len(batch) for batch in plans[0]] == [3, 3, 3]  # the rest of 2 is below a quarter of 16
    assert len(set(orders[0].tolist())) == 48
    assert not torch.equal(orders[0], orders[1])


def test_order_does_not_depend_on_the_parts():
    one, many = (plan_epoch(50, 16, parts, seed=0, epoch=0) for parts in (1, 4))
    assert all(torch.equal(a[0], torch.cat(b)) for a, b in zip(one, many, strict=True))


def test_batch_too_small_for_its_parts_is_said():
    with pytest.raises(NaswildError, match="batch of 10 images cannot be divided into 8 parts"):
        plan_epoch(20, 10, 8, seed=0, epoch=0)
