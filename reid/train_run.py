"""What a training run holds on to: devices, network, data, position and clock; how it opens and saves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nas.attempts import Attempts
from nas.progress import Report
from nas.train_recipe import Execution
from nas.train_state import TrainState, fingerprint
from reid.datasets import ReidData, labels_of
from reid.images import ImageLoader
from reid.pcb import PCB
from reid.recipe import ReidRecipe


@dataclass
class Run:
    """One training run under way; ``model`` and ``optimizer`` are as Fabric wraps them."""

    fabric: Fabric
    recipe: ReidRecipe
    seed: int
    network: PCB
    model: nn.Module
    optimizer: torch.optim.Optimizer
    state: TrainState
    images: ImageLoader
    labels: Tensor
    checkpoint: Path
    checkpoint_seconds: float
    clock: Attempts
    report: Report
    last_save: float

    def save_if_due(self, always: bool = False) -> None:
        """Write the checkpoint (process 0 does) if the last one is old."""
        if not always and time.perf_counter() - self.last_save < self.checkpoint_seconds:
            return
        if self.fabric.is_global_zero:
            self.state.scaler = self.fabric.strategy.precision.state_dict()
            self.state.save(self.checkpoint)
        self.last_save = time.perf_counter()


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
    identity = fingerprint(recipe, seed, data.title, data.version, shapes)
    state = TrainState(network, plain, identity, sums=torch.zeros(3, dtype=torch.float64, device=fabric.device))
    if state.restore(workdir / "checkpoint.pt") and state.scaler:
        fabric.strategy.precision.load_state_dict(state.scaler)
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
        checkpoint=workdir / "checkpoint.pt",
        checkpoint_seconds=execution.checkpoint_seconds,
        clock=clock,
        report=report,
        last_save=time.perf_counter(),
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
