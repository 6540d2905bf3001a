"""Train a PCB network on a re-identification set and rank its gallery, exactly resumable: one loop, top to bottom.

Lightning Fabric carries devices, precision and data parallelism, as in :mod:`nas.train`. Started by ``torchrun`` the
batch is divided among the processes, identities kept together.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.attempts import Attempts, device_name, peak_memory_bytes
from nas.augment import normalise
from nas.errors import NaswildError
from nas.parallel import connect, share_buffers
from nas.progress import Progress, Report, silent
from nas.seeding import seed_all
from nas.train_recipe import Execution
from reid.augment import ReidDraws
from reid.datasets import ReidData, load_reid_data
from reid.losses import batch_hard_triplet
from reid.model import build_pcb, costs
from reid.outcome import ReidOutcome
from reid.pcb import summed_loss
from reid.picture import draw_rankings
from reid.recipe import ReidRecipe
from reid.sampling import epoch_order, require_other_identities, share
from reid.score import Retrieval, score_network
from reid.train_run import Run, open_run
from reid.weights import save_pcb


def run_reid(
    backbone_source: Any,
    data_root: str | Path,
    dataset: str,
    recipe: ReidRecipe,
    *,
    parts: int,
    seed: int,
    workdir: str | Path,
    report: Report = silent,
    execution: Execution | None = None,
    **backbone_options: Any,
) -> ReidOutcome:
    """Train PCB with ``parts`` stripes on ``dataset`` below ``data_root`` and evaluate it, as ``recipe`` says.

    ``backbone_source`` is anything :func:`reid.model.reid_backbone` takes: a weights file, a genotype, a timm name, or
    ``"torchreid:NAME"``. A run that was killed continues from ``workdir`` and ends with the same numbers as an
    uninterrupted one. The picture of ranked results goes to ``workdir/rankings.png``, the trained network to
    ``workdir/pcb.safetensors``.

    Raises :class:`NaswildError` for missing or damaged data, a backbone too coarse for ``parts``, or a diverged loss.
    """
    execution, workdir = execution or Execution(), Path(workdir)
    if execution.accumulate > 1 or execution.compile:
        raise NaswildError(
            "re-identification takes a batch whole, uncompiled: accumulate and compile are for retraining"
        )
    fabric = connect(execution, recipe.precision)
    if recipe.triplet_weight:
        require_other_identities(recipe.batch_size, recipe.images_per_identity, fabric.world_size)
    clock = Attempts(workdir, writes=fabric.is_global_zero)
    data = load_reid_data(Path(data_root), dataset, recipe.train_on)
    network = build_pcb(backbone_source, recipe, parts=parts, identities=data.identities, seed=seed, **backbone_options)
    sizes = costs(network, backbone_source, recipe, **backbone_options)
    run = open_run(fabric, network, data, recipe, seed, workdir, execution, clock, report)
    train(run)
    share_buffers(fabric, network)
    mean, std = network.backbone.mean, network.backbone.std
    found = score_network(network, data, recipe, fabric, mean=mean, std=std, workers=execution.workers, report=report)
    picture = draw_rankings(workdir / "rankings.png", data, found) if fabric.is_global_zero else None
    weights = _save(run, backbone_source, data, found, dataset) if fabric.is_global_zero else None
    clock.save()
    return _outcome(run, data, found, sizes, picture, weights)


def _save(run: Run, source: Any, data: ReidData, found: Retrieval, dataset: str) -> Path:
    """Write the trained network beside its checkpoint, as a weights file that is scored again by itself."""
    return save_pcb(
        run.workdir / "pcb.safetensors",
        run.network,
        source,
        run.recipe,
        trained_on=dataset,
        identities=data.names,
        score=found.ranking.metrics,
    )


def train(run: Run) -> None:
    """Train the remaining epochs from the step of the checkpoint."""
    recipe, state, fabric = run.recipe, run.state, run.fabric
    for epoch in range(state.epoch, recipe.epochs):
        order = epoch_order(
            run.labels,
            recipe.batch_size,
            seed=run.seed,
            epoch=epoch,
            images_per_identity=recipe.images_per_identity,
        )
        draws = ReidDraws.of_epoch(recipe, order.numel(), seed=run.seed, epoch=epoch)
        positions = share(torch.arange(order.numel()).view_as(order), fabric.global_rank, fabric.world_size)
        mine = order.flatten()[positions]
        run.model.train()
        if epoch < recipe.frozen_epochs:  # running statistics rest, and so does drop path
            run.network.backbone.eval()
        for step, pixels in enumerate(run.images.batches(list(mine[state.step :])), state.step):
            started = time.perf_counter()
            set_learning_rates(run.optimizer, recipe, epoch, step / len(order))
            views = draws.apply(pixels, positions[step], recipe, run.network.backbone.mean)
            metrics = _take_step(run, views, run.labels[mine[step]].to(fabric.device), (epoch, step))
            state.step = step + 1
            state.images += recipe.batch_size
            state.busy_seconds += time.perf_counter() - started
            run.keeper.save_if_due()
            run.clock.beat()
            run.report(Progress("train", epoch, recipe.epochs, state.step, len(order), metrics))
        state.next_epoch(_record(run, epoch))
        run.keeper.save_if_due(always=epoch + 1 == recipe.epochs)


def _take_step(run: Run, views: Tensor, identities: Tensor, place: tuple[int, int]) -> dict[str, float]:
    """One update of the weights; returns the epoch's mean loss and accuracy so far, of this process."""
    recipe, state = run.recipe, run.state
    seed_all(run.seed, "step", *place, run.fabric.global_rank)  # for dropout and drop path
    images = normalise(views, run.network.backbone.mean, run.network.backbone.std)
    if recipe.triplet_weight:
        logits, descriptors = run.model(images, with_descriptor=True)
        extra = recipe.triplet_weight * batch_hard_triplet(descriptors, identities, recipe.triplet_margin)
    else:
        logits, extra = run.model(images), torch.zeros((), device=images.device)
    loss = summed_loss(logits, identities) + extra
    run.fabric.backward(loss)
    if place[0] < recipe.frozen_epochs:  # without gradients the optimiser leaves weights and momentum alone
        for parameter in run.network.backbone.parameters():
            parameter.grad = None
    run.optimizer.step()
    run.optimizer.zero_grad()
    right = torch.stack([(part.argmax(dim=1) == identities).float().mean() for part in logits]).mean()
    count = len(identities)
    state.sums += torch.stack([loss.detach() * count, right * count, torch.full_like(right, count)])
    return _means(state.sums, place[0])


def set_learning_rates(optimizer: torch.optim.Optimizer, recipe: ReidRecipe, epoch: int, within: float) -> None:
    """Set the rates of (backbone, head) for the part ``within`` (0..1) of ``epoch``."""
    rate = recipe.learning_rate * recipe.learning_rate_factor(epoch + within)
    backbone, head = optimizer.param_groups
    backbone["lr"] = 0.0 if epoch < recipe.frozen_epochs else rate * recipe.backbone_multiplier
    head["lr"] = rate


def _means(sums: Tensor, epoch: int) -> dict[str, float]:
    loss, right, images = sums.tolist()
    if not math.isfinite(loss):
        raise NaswildError(f"the loss is {loss} in epoch {epoch + 1}; lower learning_rate or add warmup_epochs")
    return {"loss": loss / images, "accuracy": right / images}


def _record(run: Run, epoch: int) -> dict[str, float]:
    means = _means(run.state.sums, epoch)
    rate = run.optimizer.param_groups[1]["lr"]
    return {"epoch": epoch + 1, "learning_rate": rate, "train_loss": means["loss"], "train_accuracy": means["accuracy"]}


def _outcome(
    run: Run, data: ReidData, found: Retrieval, sizes: dict[str, int], picture: Path | None, weights: Path | None
) -> ReidOutcome:
    state, network, ranking = run.state, run.network, found.ranking
    return ReidOutcome(
        metrics=ranking.metrics,
        chance=ranking.chance,
        per_query=ranking.queries.by_metric(),
        query_persons=np.array([person.identity for person in data.query])[ranking.queries.valid],
        queries=len(data.query),
        queries_without_match=ranking.without_match,
        parts=network.parts,
        part_dim=network.part_dim,
        feature_dim=network.feature_dim,
        input_size=(run.recipe.height, run.recipe.width),
        data_title=data.title,
        data_version=data.version,
        data_notes=data.notes,
        data_is_published=data.whole,
        history=state.history,
        seconds=run.clock.seconds,
        images_per_second=state.images / state.busy_seconds if state.busy_seconds else None,
        peak_memory_bytes=peak_memory_bytes(run.fabric.device),
        attempts=run.clock.count,
        device=device_name(run.fabric.device, run.fabric.world_size),
        picture=picture,
        weights=weights,
        **sizes,
    )
