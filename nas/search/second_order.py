"""The second-order gradient of DARTS: what the architecture should be after one more step of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nas.loading import Batch
from nas.search.capture import Computed
from nas.search.stage import Stage

EPSILON = 0.01  # length of the finite difference (DARTS, section 2.3)


def second_order_gradients(
    stage: Stage,
    gradients: Callable[[Sequence[Batch], Sequence[nn.Parameter], bool], Computed],
    held_out: Sequence[Batch],
    training: Sequence[Batch],
) -> Tensor:
    """Leave the gradients of the alphas in them; returns the figures of the ``held_out`` batch.

    DARTS, Eq. 7 and 8: grad_a L_val(w', a) - lr * (grad_a L_train(w+, a) - grad_a L_train(w-, a)) / (2 eps), where
    w' is the weights after one SGD step (momentum and weight decay included) and w+- = w +- eps * grad_w' L_val(w', a).
    The four passes see the same dropout masks: the finite difference compares weights, not masks. Its two passes are in
    float32 whatever the recipe's precision: w + eps * g rounds to w in bfloat16.

    ``gradients(batches, parameters, exact)`` computes those of a whole batch, in float32 where ``exact``.
    """
    weights, alphas = list(stage.supernet.parameters()), list(stage.architecture.parameters())
    rate = stage.weights_optimizer.param_groups[0]["lr"]
    start = [weight.detach().clone() for weight in weights]
    live = [weight.detach() for weight in weights]

    def move(direction: Sequence[Tensor], scale: float | Tensor) -> None:
        torch._foreach_copy_(live, [origin + scale * way for origin, way in zip(start, direction)])

    descent = gradients(training, weights, False).gradients
    move([_sgd_direction(stage, w, g) for w, g in zip(weights, descent)], -rate)
    figures, both = gradients(held_out, [*alphas, *weights], False)
    ahead, slope = both[: len(alphas)], both[len(alphas) :]
    eps = EPSILON / torch.linalg.vector_norm(torch.stack(torch._foreach_norm(slope)))
    move(slope, eps)
    plus = gradients(training, alphas, True).gradients
    move(slope, -eps)
    minus = gradients(training, alphas, True).gradients
    torch._foreach_copy_(live, start)
    scale = stage.scaler.get_scale()  # the optimiser's step expects scaled gradients
    for alpha, a, p, m in zip(alphas, ahead, plus, minus):
        alpha.grad = (a - rate * (p - m) / (2 * eps)) * scale
    return figures


def _sgd_direction(stage: Stage, weight: nn.Parameter, gradient: Tensor) -> Tensor:
    """What the SGD optimiser would subtract, times the learning rate: momentum, gradient, weight decay."""
    recipe = stage.recipe
    buffer = stage.weights_optimizer.state.get(weight, {}).get("momentum_buffer")
    moved = gradient + recipe.weights_decay * weight.detach()
    return moved if buffer is None else moved + recipe.weights_momentum * buffer
