"""The second-order gradient of DARTS: what the architecture should be after one more step of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nas.loading import Batch
from nas.search.capture import Computed, Inputs
from nas.search.parts import over_parts
from nas.search.stage import Stage

if TYPE_CHECKING:
    from nas.search.steps import Steps

EPSILON = 0.01  # length of the finite difference (DARTS, section 2.3)


def second_order_gradients(steps: Steps, held_out: Sequence[Batch], training: Sequence[Batch]) -> Tensor:
    """Leave the gradients of the alphas in them; returns the figures of the ``held_out`` batch.

    DARTS, Eq. 7 and 8: grad_a L_val(w', a) - lr * (grad_a L_train(w+, a) - grad_a L_train(w-, a)) / (2 eps), where
    w' is the weights after one SGD step (momentum and weight decay included) and w+- = w +- eps * grad_w' L_val(w', a).
    The four passes see the same dropout masks: the finite difference compares weights, not masks. Its two passes are in
    float32 whatever the recipe's precision: w + eps * g rounds to w in bfloat16.
    """
    stage = steps.stage
    weights, alphas = steps.parameters["weights"], steps.parameters["alphas"]
    rate = stage.weights_optimizer.param_groups[0]["lr"]
    start = [weight.detach().clone() for weight in weights]
    live = [weight.detach() for weight in weights]

    def move(direction: Sequence[Tensor], scale: float | Tensor) -> None:
        torch._foreach_copy_(live, [origin + scale * way for origin, way in zip(start, direction)])

    descent = _gradients(steps, training, weights).gradients
    move([_sgd_direction(stage, w, g) for w, g in zip(weights, descent)], -rate)
    figures, both = _gradients(steps, held_out, [*alphas, *weights])
    ahead, slope = both[: len(alphas)], both[len(alphas) :]
    eps = EPSILON / torch.linalg.vector_norm(torch.stack(torch._foreach_norm(slope)))
    move(slope, eps)
    plus = _gradients(steps, training, alphas, exact=True).gradients
    move(slope, -eps)
    minus = _gradients(steps, training, alphas, exact=True).gradients
    torch._foreach_copy_(live, start)
    scale = stage.scaler.get_scale()  # the optimiser's step expects scaled gradients
    for alpha, a, p, m in zip(alphas, ahead, plus, minus):
        alpha.grad = (a - rate * (p - m) / (2 * eps)) * scale
    return figures


def _gradients(
    steps: Steps, batches: Sequence[Batch], parameters: Sequence[nn.Parameter], exact: bool = False
) -> Computed:
    """The gradients of a whole batch with respect to ``parameters``, not scaled."""
    noise, scaler = steps.noise("alphas"), steps.stage.scaler

    def compute(part: int, batch: Batch) -> Computed:
        inputs = Inputs(*batch, noise)
        steps.stage.seed("alphas", part)
        loss, figures = steps.loss(inputs, steps.mixture(inputs), exact)
        gradients = torch.autograd.grad(scaler.scale(loss), list(parameters))
        return Computed(figures, [gradient / scaler.get_scale() for gradient in gradients])

    return over_parts(steps.team, steps.statistics, batches, compute)


def _sgd_direction(stage: Stage, weight: nn.Parameter, gradient: Tensor) -> Tensor:
    """What the SGD optimiser would subtract, times the learning rate: momentum, gradient, weight decay."""
    recipe = stage.recipe
    buffer = stage.weights_optimizer.state.get(weight, {}).get("momentum_buffer")
    moved = gradient + recipe.weights_decay * weight.detach()
    return moved if buffer is None else moved + recipe.weights_momentum * buffer
