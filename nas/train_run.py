"""What a training run holds on to: its devices, network, data, position and clock; how it opens and scores."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from nas.attempts import Attempts
from nas.evaluate import BATCH, Score, tally
from nas.images import Images
from nas.loading import Loader
from nas.parallel import connect, share_buffers, sum_over_processes
from nas.progress import Report
from nas.proxies import Proxy
from nas.seeding import generator
from nas.train_recipe import Execution, RetrainRecipe
from nas.train_state import Keeper, TrainState, fingerprint


@dataclass
class Run:
    """One training run. ``model`` and ``optimizer`` are as Fabric wraps them, ``state`` holds the plain ones."""

    fabric: Fabric
    recipe: RetrainRecipe
    execution: Execution
    seed: int
    model: nn.Module
    optimizer: torch.optim.Optimizer
    state: TrainState
    train: Loader
    test: Loader
    held: Loader | None
    classes: int
    keeper: Keeper
    clock: Attempts
    report: Report
    last_score: Score | None = None  # on the test images, with the weights as they are

    def score(self, loader: Loader) -> Score:
        """The network's score on the images of ``loader``, each process taking its share."""
        network = self.state.scored
        share_buffers(self.fabric, network)
        chunks = torch.arange(len(loader.images)).split(BATCH)[self.fabric.global_rank :: self.fabric.world_size]
        sums, mine = tally(network, loader.plain(chunks), self.fabric.autocast)
        answers = torch.zeros(len(loader.images), dtype=torch.float64)
        if chunks:
            answers[torch.cat(chunks)] = mine
        return Score.of(sum_over_processes(self.fabric, sums), sum_over_processes(self.fabric, answers))


def open_run(
    network: nn.Module,
    proxy: Proxy,
    recipe: RetrainRecipe,
    seed: int,
    workdir: Path,
    report: Report,
    execution: Execution,
) -> Run:
    """Move ``network`` to its device, open the data, continue from the checkpoint in ``workdir`` if there is one."""
    fabric = connect(execution, recipe.precision)
    clock = Attempts(workdir, writes=fabric.is_global_zero)
    parts = fabric.world_size * execution.accumulate  # of a batch; batch normalisation looks at one
    network.to(fabric.device)
    plain_optimizer = _sgd(network, recipe)
    state = TrainState(
        network,
        plain_optimizer,
        identity=fingerprint(
            recipe, seed, proxy.version, proxy.image_size, [p.shape for p in network.parameters()], parts
        ),
        average=copy.deepcopy(network).requires_grad_(False) if recipe.ema is not None else None,
        sums=torch.zeros(3, dtype=torch.float64, device=fabric.device),
    )
    keeper = Keeper(fabric, state, workdir / "checkpoint.pt", execution)
    model, optimizer = fabric.setup(_compiled(network) if execution.compile else network, plain_optimizer)

    def loader(images: Images) -> Loader:
        size, mean, std = proxy.image_size, proxy.mean, proxy.std
        return Loader(images, size, mean, std, fabric.device, execution.workers, state.corrupt)

    train, held = hold_out(proxy.train, recipe.holdout, seed)
    return Run(
        fabric=fabric,
        recipe=recipe,
        execution=execution,
        seed=seed,
        model=model,
        optimizer=optimizer,
        state=state,
        train=loader(train),
        test=loader(proxy.test),
        held=loader(held) if held is not None else None,
        classes=proxy.num_classes,
        keeper=keeper,
        clock=clock,
        report=report,
    )


def _compiled(network: nn.Module) -> nn.Module:
    """``torch.compile`` that draws for drop path as the network itself does, not from a generator of its own."""
    compiled: Any = torch.compile(network, options={"fallback_random": True})
    return compiled


def _sgd(network: nn.Module, recipe: RetrainRecipe) -> torch.optim.SGD:
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=recipe.precision
        != "16-mixed",  # a fused step unscales gradients itself, but clipping must come in between
    )


def hold_out(images: Images, share: float, seed: int) -> tuple[Images, Images | None]:
    """(images to train on, images held out): ``share`` of them, drawn by ``seed``; none if it is 0."""
    count = round(share * len(images))
    if count == 0:
        return images, None
    order = torch.randperm(len(images), generator=generator(seed, "holdout"))
    return images.subset(order[count:]), images.subset(order[:count])
