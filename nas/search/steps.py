"""The steps that a search alternates between: one on the network weights, one on the architecture weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.loading import Batch
from nas.search.architecture import Mixture, Sampling
from nas.search.stage import Stage

_PRECISION = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Rules:
    """How a gradient-based method treats the architecture.

    ``sampling``: the mixture is the softmax (DARTS) or a Gumbel sample of it (SNAS, GDAS). ``second_order``: the
    architecture's gradient looks one weight step ahead. ``joint``: both sets of weights learn from the same batch, in
    one backward pass, instead of from two halves of the data (SNAS).
    """

    sampling: Sampling = "softmax"
    second_order: bool = False
    joint: bool = False


class StepResult(NamedTuple):
    """Loss and number of correct answers of one batch, as tensors: reading them is left to whoever needs them."""

    loss: Tensor
    correct: Tensor


def weights_step(stage: Stage, rules: Rules, batch: Batch) -> StepResult:
    """One SGD step on the network weights; the mixture is a constant."""
    with torch.no_grad():
        mixture = stage.architecture(rules.sampling, stage.temperature)
    loss, result = _loss(stage, mixture, batch)
    stage.weights_optimizer.zero_grad()
    stage.scaler.scale(loss).backward()
    _update(stage, stage.weights_optimizer, stage.supernet, stage.recipe.weights_clip)
    return result


def alphas_step(stage: Stage, rules: Rules, held_out: Batch, training: Batch) -> StepResult:
    """One Adam step on the architecture weights, from the ``held_out`` half; ``training`` serves the second order."""
    stage.alphas_optimizer.zero_grad()
    if rules.second_order:
        result = _second_order_gradients(stage, rules, held_out, training)
    else:
        with _frozen(stage.supernet):  # only the alphas' gradients are computed
            loss, result = _loss(stage, stage.architecture(rules.sampling, stage.temperature), held_out)
            stage.scaler.scale(loss).backward()
    _update(stage, stage.alphas_optimizer, stage.architecture, stage.recipe.alphas_clip)
    return result


def joint_step(stage: Stage, rules: Rules, batch: Batch) -> StepResult:
    """Both updates from one forward and one backward pass (SNAS' single-level optimisation)."""
    loss, result = _loss(stage, stage.architecture(rules.sampling, stage.temperature), batch)
    stage.weights_optimizer.zero_grad()
    stage.alphas_optimizer.zero_grad()
    stage.scaler.scale(loss).backward()
    _update(stage, stage.weights_optimizer, stage.supernet, stage.recipe.weights_clip)
    _update(stage, stage.alphas_optimizer, stage.architecture, stage.recipe.alphas_clip)
    return result


@torch.no_grad()
def accuracy(stage: Stage, batches: Iterable[Batch]) -> float:
    """Top-1 accuracy of the supernet in evaluation mode, 0 to 1."""
    stage.supernet.eval()
    mixture = stage.architecture()
    correct = seen = 0
    for images, labels in batches:
        correct += int((stage.supernet(images, mixture).argmax(1) == labels).sum())
        seen += len(labels)
    stage.supernet.train()
    return correct / seen


def _loss(stage: Stage, mixture: Mixture, batch: Batch) -> tuple[Tensor, StepResult]:
    images, labels = batch
    dtype = _PRECISION[stage.recipe.precision]
    with torch.autocast(images.device.type, dtype=dtype, enabled=dtype != torch.float32):
        logits = stage.supernet(images, mixture)
    loss = functional.cross_entropy(logits.float() if dtype != torch.float32 else logits, labels)
    return loss, StepResult(loss.detach(), (logits.detach().argmax(1) == labels).sum())


def _update(stage: Stage, optimizer: torch.optim.Optimizer, module: nn.Module, clip: float | None) -> None:
    stage.scaler.unscale_(optimizer)
    if clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    stage.scaler.step(optimizer)
    stage.scaler.update()


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def _second_order_gradients(stage: Stage, rules: Rules, held_out: Batch, training: Batch) -> StepResult:
    """Gradients of the alphas after one virtual weight step, its Hessian-vector product by finite differences.

    DARTS, Eq. 7 and 8: grad_a L_val(w', a) - lr * (grad_a L_train(w+, a) - grad_a L_train(w-, a)) / (2 eps), where
    w' is the weights after one SGD step (momentum and weight decay included) and w+- = w +- eps * grad_w' L_val(w', a).
    """
    weights = list(stage.supernet.parameters())
    alphas = list(stage.architecture.parameters())
    rate = stage.weights_optimizer.param_groups[0]["lr"]
    start = [w.detach().clone() for w in weights]

    def gradients(batch: Batch, wrt: list[nn.Parameter]) -> tuple[StepResult, tuple[Tensor, ...]]:
        loss, result = _loss(stage, stage.architecture(rules.sampling, stage.temperature), batch)
        return result, torch.autograd.grad(loss, wrt)

    def move(direction: list[Tensor] | tuple[Tensor, ...], scale: float | Tensor) -> None:
        with torch.no_grad():
            for w, s, d in zip(weights, start, direction):
                w.copy_(s + scale * d)

    _, descent = gradients(training, weights)
    move([_sgd_direction(stage, w, g) for w, g in zip(weights, descent)], -rate)
    result, both = gradients(held_out, alphas + weights)
    ahead, slope = both[: len(alphas)], both[len(alphas) :]
    eps = 0.01 / torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(s) for s in slope]))
    move(slope, eps)
    _, plus = gradients(training, alphas)
    move(slope, -eps)
    _, minus = gradients(training, alphas)
    move(slope, 0.0)
    for alpha, a, p, m in zip(alphas, ahead, plus, minus):
        alpha.grad = a - rate * (p - m) / (2 * eps)
    return result


def _sgd_direction(stage: Stage, weight: nn.Parameter, gradient: Tensor) -> Tensor:
    """What the SGD optimiser would subtract, times the learning rate: momentum, gradient, weight decay."""
    recipe = stage.recipe
    buffer = stage.weights_optimizer.state[weight].get("momentum_buffer")
    moved = gradient + recipe.weights_decay * weight.detach()
    return moved if buffer is None else moved + recipe.weights_momentum * buffer
