"""Train a classification network from scratch, exactly resumable: one loop that reads top to bottom.

Lightning Fabric carries devices, precision and data parallelism; the loop stays ours. Started by ``torchrun`` it spans
the processes it finds; the protocol's batch is divided over them, and over ``Execution.accumulate`` parts in each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from nas import zoo
from nas.attempts import device_name, peak_memory_bytes
from nas.errors import NaswildError
from nas.genotype import Genotype
from nas.images import IGNORED
from nas.loading import Batch
from nas.network import build_network
from nas.parallel import plan_epoch, union_over_processes
from nas.progress import Progress, Report, silent
from nas.proxies import Proxy
from nas.quick import quickened
from nas.schedules import drop_path_rate, learning_rate
from nas.seeding import seed_all
from nas.train_recipe import Execution, RetrainRecipe
from nas.train_run import Run, open_run

# Reading the loss waits for the device, so the metrics of a progress report are renewed once in this many steps.
REPORT_STEPS = 10


class TrainingDiverged(NaswildError):
    """The loss is not a number any more."""


@dataclass(frozen=True)
class TrainOutcome:
    """The result of a training run, and what it cost over all attempts. Accuracies are fractions of the test images.

    ``selected`` says whose score it is: "last epoch", or "best epoch on held-out images" where the recipe asks for it.
    ``history`` has one record per epoch. ``images_per_second`` is of training alone, over all devices.
    ``corrupt_images`` counts the images that could not be decoded and were left out. ``answers`` has 1.0 for each
    correctly classified test image and 0.0 for the others, from the same pass as ``top1``.
    """

    top1: float
    top5: float
    test_loss: float
    seconds: float
    images_per_second: float
    peak_memory_bytes: int | None
    attempts: int
    history: list[dict[str, float]]
    device: str
    selected: str
    epoch: int
    corrupt_images: int
    answers: tuple[float, ...]


def new_network(source: Any, recipe: RetrainRecipe, num_classes: int, *, seed: int) -> nn.Module:
    """The untrained network of ``recipe`` around the cells of ``source``, its weights drawn from ``seed``.

    ``source`` is anything :meth:`nas.Genotype.load` takes, ``"timm:NAME"``, or a name that only timm has.
    """
    seed_all(seed, "init")
    if isinstance(source, str) and _is_timm_name(source):
        return timm.create_model(source.removeprefix("timm:"), pretrained=False, num_classes=num_classes)
    shape = recipe.network
    return build_network(
        Genotype.load(source), shape.stem, shape.channels, shape.cells, num_classes, recipe.auxiliary_weight > 0
    )


def _is_timm_name(source: str) -> bool:
    return source.startswith("timm:") or (source not in zoo.names() and timm.is_model(source))


def train_classifier(
    network: nn.Module,
    proxy: Proxy,
    recipe: RetrainRecipe,
    *,
    seed: int,
    workdir: str | Path,
    report: Report = silent,
    execution: Execution | None = None,
) -> TrainOutcome:
    """Train ``network`` in place on ``proxy`` and score it on the test images.

    ``network`` maps (N, 3, S, S) to logits, or to (logits, auxiliary logits) in training: ours or timm's. Its initial
    weights are the start; :func:`new_network` draws them from the seed. A run that was killed at any step continues
    from ``workdir`` and ends with the same weights as an uninterrupted one.

    Raises:
        TrainingDiverged: the loss became infinite or not a number.
        NaswildError: the checkpoint in ``workdir`` is another run's, or the disk is full.
    """
    execution = execution or Execution()
    with quickened(network, execution.channels_last):
        run = open_run(network, proxy, recipe, seed, Path(workdir), report, execution)
        for epoch in range(run.state.epoch, recipe.epochs):
            for group in run.optimizer.param_groups:
                group["lr"] = learning_rate(recipe, epoch)
            set_drop_path(network, drop_path_rate(recipe, epoch))
            steps = _train_epoch(run, epoch)
            scores = _close_epoch(run, epoch)
            run.keeper.save_if_due(always=epoch + 1 == recipe.epochs)
            report(Progress("train", epoch + 1, recipe.epochs, 0, steps, scores))
        return _finish(run, network)


def _train_epoch(run: Run, epoch: int) -> int:
    """The steps of ``epoch`` that are not done yet; returns how many the epoch has."""
    fabric, recipe, state = run.fabric, run.recipe, run.state
    parts = fabric.world_size * run.execution.accumulate
    plan = plan_epoch(len(run.train.images), recipe.batch_size, parts, seed=run.seed, epoch=epoch)
    mine = range(fabric.global_rank, parts, fabric.world_size)
    chunks = [batch[part] for batch in plan[state.step :] for part in mine]
    batches = run.train.augmented(chunks, recipe.augmentation, seed=run.seed, epoch=epoch)
    metrics: dict[str, float] = {}
    run.model.train()
    for step in range(state.step, len(plan)):
        started = time.perf_counter()
        size = sum(map(len, plan[step]))
        _take_step(run, batches, mine, size, epoch, step)
        state.step = step + 1
        state.images += size
        if not metrics or step % REPORT_STEPS == 0 or state.step == len(plan):
            metrics = _running_metrics(state.sums, epoch)
        state.busy_seconds += time.perf_counter() - started
        run.keeper.save_if_due()
        run.clock.beat()
        run.report(Progress("train", epoch, recipe.epochs, state.step, len(plan), metrics))
    return len(plan)


def _take_step(run: Run, batches: Iterator[Batch], mine: range, size: int, epoch: int, step: int) -> None:
    """One update of the weights from ``size`` images over all processes; this one computes the parts ``mine``."""
    fabric, recipe, state = run.fabric, run.recipe, run.state
    for part in mine:
        pixels, labels = next(batches)
        if not run.execution.channels_last:
            pixels = pixels.contiguous()
        seed_all(run.seed, "step", epoch, step, part)  # for drop path: the same draws in every process
        with fabric.no_backward_sync(run.model, enabled=part != mine[-1]):
            loss, main, logits = classification_loss(run.model(pixels), labels, recipe)
            if logits.shape[1] != run.classes:
                raise NaswildError(f"the network has {logits.shape[1]} outputs for {run.classes} classes")
            fabric.backward(loss * (fabric.world_size / size))  # data parallelism averages over the processes
        right = (logits.detach().argmax(dim=1) == labels).sum()
        state.sums += torch.stack([main.detach(), right, (labels != IGNORED).sum()])
    if recipe.gradient_clip is not None:
        fabric.clip_gradients(run.model, run.optimizer, max_norm=recipe.gradient_clip, error_if_nonfinite=False)
    run.optimizer.step()
    run.optimizer.zero_grad()
    if recipe.ema is not None:
        state.update_average(recipe.ema)


def classification_loss(
    output: Tensor | tuple[Tensor, Tensor], labels: Tensor, recipe: RetrainRecipe
) -> tuple[Tensor, Tensor, Tensor]:
    """(summed loss, its part from the main head, logits) of a batch; the auxiliary head's loss has its weight."""

    def entropy(logits: Tensor) -> Tensor:
        return nn.functional.cross_entropy(
            logits, labels, reduction="sum", label_smoothing=recipe.label_smoothing, ignore_index=IGNORED
        )

    if isinstance(output, tuple):
        logits, auxiliary = output
        main = entropy(logits)
        return main + recipe.auxiliary_weight * entropy(auxiliary), main, logits
    main = entropy(output)
    return main, main, output


def set_drop_path(network: nn.Module, rate: float) -> None:
    """Set the drop-path rate of a network of cells. A timm model keeps what it was built with."""
    setter = getattr(network, "set_drop_path", None)
    if setter is not None:
        setter(rate)


def _running_metrics(sums: Tensor, epoch: int) -> dict[str, float]:
    loss, right, images = sums.tolist()
    if not math.isfinite(loss):
        raise TrainingDiverged(f"the loss is {loss} in epoch {epoch + 1}; lower learning_rate or set gradient_clip")
    return {"loss": loss / images, "top1": right / images}


def _close_epoch(run: Run, epoch: int) -> dict[str, float]:
    """Write the epoch's record: rates, training figures and the scores that are due; returns the figures and scores."""
    recipe, state = run.recipe, run.state
    figures = _running_metrics(state.sums, epoch)
    record: dict[str, float] = {
        "epoch": epoch + 1,
        "learning_rate": learning_rate(recipe, epoch),
        "drop_path": drop_path_rate(recipe, epoch),
        "train_loss": figures["loss"],
        "train_top1": figures["top1"],
    }
    if run.held is not None:
        record["holdout_top1"] = run.score(run.held).top1
        if recipe.select == "best":
            state.keep_best(record["holdout_top1"])
    last = epoch + 1 == recipe.epochs
    if last or (recipe.evaluate_every and (epoch + 1) % recipe.evaluate_every == 0):
        run.last_score = score = run.score(run.test)
        record |= {"test_top1": score.top1, "test_top5": score.top5, "test_loss": score.loss}
    state.next_epoch(record)
    return figures | {name: value for name, value in record.items() if name.startswith(("holdout_", "test_"))}


def _finish(run: Run, network: nn.Module) -> TrainOutcome:
    """Leave the weights that count in ``network`` and gather their score and the cost."""
    state, score = run.state, run.last_score
    selected, epoch = "last epoch", run.recipe.epochs
    if run.recipe.select == "best" and state.best is not None:
        state.scored.load_state_dict(state.best)
        selected, epoch = "best epoch on held-out images", state.best_epoch
        score = None
    score = score or run.score(run.test)  # a run that is taken up after its last epoch has not scored anything yet
    if state.average is not None:
        network.load_state_dict(state.average.state_dict())
    run.clock.save()
    return TrainOutcome(
        top1=score.top1,
        top5=score.top5,
        test_loss=score.loss,
        answers=tuple(score.answers.tolist()),
        seconds=run.clock.seconds,
        images_per_second=state.images / state.busy_seconds,
        peak_memory_bytes=peak_memory_bytes(run.fabric.device),
        attempts=run.clock.count,
        history=state.history,
        device=device_name(run.fabric.device, run.fabric.world_size),
        selected=selected,
        epoch=epoch,
        corrupt_images=len(union_over_processes(run.fabric, state.corrupt)),
    )
