"""Where training runs and how a batch is divided: one process or those that ``torchrun`` started."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from nas.errors import NaswildError
from nas.seeding import generator
from nas.train_recipe import Execution

# Gradients are summed where they lie, without a copy.
DATA_PARALLEL: dict[str, Any] = {"gradient_as_bucket_view": True}


def connect(execution: Execution, precision: str) -> Fabric:
    """This process on its device (a GPU where there is one), joined with those that ``torchrun`` started beside it."""
    accelerator = execution.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if world == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    strategy = DDPStrategy(**DATA_PARALLEL)
    fabric = Fabric(
        accelerator=accelerator, devices=local, num_nodes=world // local, strategy=strategy, precision=precision
    )
    fabric.launch()
    return fabric


def plan_epoch(count: int, batch_size: int, parts: int, *, seed: int, epoch: int) -> list[list[Tensor]]:
    """The images of an epoch in an order drawn from the seed: for each step ``parts`` lists of indices.

    A part is what one process computes at once, so the plan is the same for two processes as for one that accumulates
    two parts. A last batch below a quarter of the others is left out: its batch statistics would be noise.
    """
    order = torch.randperm(count, generator=generator(seed, "order", epoch))
    batches = list(order.split(batch_size))
    if len(batches) > 1 and 4 * len(batches[-1]) < batch_size:
        batches.pop()
    if len(batches[-1]) < 2 * parts:
        raise NaswildError(
            f"a batch of {len(batches[-1])} images cannot be divided into {parts} parts (processes x accumulate) of at "
            "least two, which batch normalisation needs; use fewer"
        )
    return [list(batch.tensor_split(parts)) for batch in batches]


def sum_over_processes(fabric: Fabric, sums: Tensor) -> Tensor:
    """The total of a small CPU tensor over all processes."""
    if fabric.world_size == 1:
        return sums
    return fabric.all_reduce(sums.to(fabric.device), reduce_op="sum").cpu()


def union_over_processes(fabric: Fabric, names: set[str]) -> set[str]:
    """The names that any process has."""
    if fabric.world_size == 1:
        return names
    gathered: list[list[str]] = [[] for _ in range(fabric.world_size)]
    torch.distributed.all_gather_object(gathered, sorted(names))
    return {name for part in gathered for name in part}


def share_buffers(fabric: Fabric, network: torch.nn.Module) -> None:
    """Give every process the batch statistics of process 0, which are the ones that are stored."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, src=0)
