"""What a training run holds on to: devices, network, data, position and clock; how it opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nas.attempts import Attempts
from nas.progress import Report
from nas.train_recipe import Execution
from nas.train_state import Keeper, TrainState, fingerprint
from reid.datasets import ReidData, labels_of
from reid.images import ImageLoader
from reid.pcb import PCB
from reid.recipe import ReidRecipe


@dataclass
class Run:
    """One training run in progress; ``model`` and ``optimizer`` are as Fabric wraps them."""

    fabric: Fabric
    recipe: ReidRecipe
    seed: int
    network: PCB
    model: nn.Module
    optimizer: torch.optim.Optimizer
    state: TrainState
    images: ImageLoader
    labels: Tensor
    keeper: Keeper
    clock: Attempts
    report: Report
    workdir: Path


def open_run(
    fabric: Fabric,
    network: PCB,
    data: ReidData,
    recipe: ReidRecipe,
    seed: int,
    workdir: Path,
    execution: Execution,
    clock: Attempts,
    report: Report,
) -> Run:
    """Move ``network`` to its device, and continue from the checkpoint in ``workdir`` if there is one."""
    memory_format = torch.channels_last if execution.channels_last else torch.contiguous_format
    network.to(fabric.device).to(memory_format=memory_format)
    plain = _sgd(network, recipe)
    shapes = [parameter.shape for parameter in network.parameters()]
    # Batch normalisation looks at one process's part of a batch.
    identity = fingerprint(recipe, seed, data.title, data.version, shapes, fabric.world_size)
    state = TrainState(network, plain, identity, sums=torch.zeros(3, dtype=torch.float64, device=fabric.device))
    keeper = Keeper(fabric, state, workdir / "checkpoint.pt", execution)
    model, optimizer = fabric.setup(network, plain)
    paths = [person.path for person in data.train]
    return Run(
        fabric=fabric,
        recipe=recipe,
        seed=seed,
        network=network,
        model=model,
        optimizer=optimizer,
        state=state,
        images=ImageLoader(paths, recipe.height, recipe.width, fabric.device, workers=execution.workers),
        labels=torch.from_numpy(labels_of(data.train)[0]),
        keeper=keeper,
        clock=clock,
        report=report,
        workdir=workdir,
    )


def _sgd(network: PCB, recipe: ReidRecipe) -> torch.optim.SGD:
    """SGD with two groups: the backbone at a part of the learning rate, and the head."""
    groups = [{"params": list(network.backbone.parameters())}, {"params": network.head_parameters()}]
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
