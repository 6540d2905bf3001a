"""The steps that a search alternates between: one on the network weights, one on the architecture weights.

Nothing here waits for the device: losses stay tensors until they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.images import IGNORED
from nas.loading import Batch
from nas.search.architecture import Mixture, Sampling
from nas.search.capture import CapturedStep, Capturer, Computed, Inputs
from nas.search.derivation import Rule
from nas.search.parts import over_parts
from nas.search.resources import STRENGTHS, ExpectedCost
from nas.search.second_order import second_order_gradients
from nas.search.stage import Stage
from nas.search.team import Team

# Whose gradients a step computes.
Kind = Literal["weights", "alphas", "joint"]
_PRECISION = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Rules:
    """How a gradient-based method treats the architecture.

    ``sampling``: the mixture is the softmax (DARTS) or a Gumbel sample of it (SNAS, GDAS). ``second_order``: the
    architecture's gradient looks one weight step ahead. ``joint``: both sets of weights learn from the same batch, in
    one backward pass, instead of from two halves of the data (SNAS). ``derivation``: which cell the alphas describe.
    """

    sampling: Sampling = "softmax"
    second_order: bool = False
    joint: bool = False
    derivation: Rule = "darts"


class Steps:
    """The steps of one stage. Each takes the parts of a batch that this process computes (:mod:`nas.search.parts`).

    Args:
        stage: What the steps change.
        rules: The method.
        team: The processes that share the search.
        capturer: Captures the computation of gradients, where that is wanted (:mod:`nas.search.capture`).
    """

    def __init__(self, stage: Stage, rules: Rules, team: Team, capturer: Capturer | None = None) -> None:
        self.stage, self.rules, self.team, self._capturer = stage, rules, team, capturer
        weights, alphas = list(stage.supernet.parameters()), list(stage.architecture.parameters())
        self.parameters: dict[Kind, list[nn.Parameter]] = {
            "weights": weights,
            "alphas": alphas,
            "joint": [*weights, *alphas],
        }
        self.statistics = running_statistics(stage.supernet)
        self._captured: dict[Kind, CapturedStep] = {}
        self._cost: ExpectedCost | None = None  # known with the first batch, whose size it depends on

    def weights(self, batches: Sequence[Batch]) -> None:
        """One SGD step on the network weights; the mixture is a constant."""
        self.stage.count("train", self._gradients("weights", batches))
        self._update("weights")

    def alphas(self, held_out: Sequence[Batch], training: Sequence[Batch]) -> None:
        """One Adam step on the architecture weights, from the ``held_out`` half; ``training`` is for second order."""
        if self.rules.second_order:
            figures = second_order_gradients(self.stage, self._whole_gradients, held_out, training)
        else:
            figures = self._gradients("alphas", held_out)
        self.stage.count("alphas", figures)
        self._update("alphas")

    def joint(self, batches: Sequence[Batch]) -> None:
        """Both updates from one forward and one backward pass (SNAS' single-level optimisation)."""
        self.stage.count("train", self._gradients("joint", batches))
        self._update("weights", "alphas")

    def loss(self, inputs: Inputs, mixture: Mixture, exact: bool = False) -> tuple[Tensor, Tensor]:
        """(loss of a part, its figures): the cross-entropy summed over the part, divided by the whole batch's size.

        ``exact`` computes in float32 whatever the recipe's precision.
        """
        recipe, labels = self.stage.recipe, inputs.labels
        dtype = torch.float32 if exact else _PRECISION[recipe.precision]
        # Each weight is read once in a pass, so a cache of cast weights would save nothing; graphs forbid one.
        with torch.autocast(labels.device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False):
            logits = self.stage.supernet(inputs.images, mixture)
        logits = logits if dtype == torch.float32 else logits.float()
        summed = functional.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED)
        correct, seen = (logits.detach().argmax(1) == labels).sum(), (labels != IGNORED).sum()
        figures = torch.stack([summed.detach(), correct.to(summed.dtype), seen.to(summed.dtype)])
        return summed / recipe.batch_size, figures

    def mixture(self, inputs: Inputs) -> Mixture:
        """The mixture of the alphas, or the sample of it that the inputs' noise makes."""
        return self.stage.architecture(self.rules.sampling, self.stage.temperature, inputs.noise)

    def noise(self, kind: Kind) -> dict[str, Tensor] | None:
        """The noise of one sample of the architecture: one for all parts of a batch."""
        if self.rules.sampling == "softmax":
            return None
        return self.stage.architecture.draw_noise(self.stage.generator("sample", kind))

    def _gradients(self, kind: Kind, batches: Sequence[Batch]) -> Tensor:
        """Leave the gradients of a whole batch in the parameters; returns the batch's figures."""
        noise, run = self.noise(kind), self._runner(kind)

        def compute(part: int, batch: Batch) -> Computed:
            return run(Inputs(*batch, noise), partial(self.stage.seed, kind, part))

        total = over_parts(self.team, self.statistics, batches, compute)
        for parameter, gradient in zip(self.parameters[kind], total.gradients):
            parameter.grad = gradient
        return total.figures

    def _whole_gradients(self, batches: Sequence[Batch], parameters: Sequence[nn.Parameter], exact: bool) -> Computed:
        """Compute the architecture step's gradients of a whole batch for ``parameters``, not scaled."""
        noise, scaler = self.noise("alphas"), self.stage.scaler

        def compute(part: int, batch: Batch) -> Computed:
            inputs = Inputs(*batch, noise)
            self.stage.seed("alphas", part)
            loss, figures = self.loss(inputs, self.mixture(inputs), exact)
            gradients = torch.autograd.grad(scaler.scale(loss), list(parameters))
            return Computed(figures, [gradient / scaler.get_scale() for gradient in gradients])

        return over_parts(self.team, self.statistics, batches, compute)

    def _runner(self, kind: Kind) -> Callable[[Inputs, Callable[[], object]], Computed]:
        """How the gradients of a part are computed: directly, or by replaying what was captured."""
        if self._capturer is None:
            return partial(self._at_once, kind)
        if kind not in self._captured:
            parameters = self.parameters[kind]
            self._captured[kind] = CapturedStep(
                partial(self._compute, kind), parameters, list(self.stage.supernet.buffers()), self._capturer
            )
        return partial(self._captured[kind], self._key())

    def _at_once(self, kind: Kind, inputs: Inputs, seed: Callable[[], object]) -> Computed:
        seed()
        return self._compute(kind, inputs)

    def _key(self) -> tuple[float, ...]:
        """The numbers that a captured step has fixed."""
        sampled = self.rules.sampling != "softmax"
        return (self.stage.dropout, self.stage.temperature) if sampled else (self.stage.dropout,)

    def _compute(self, kind: Kind, inputs: Inputs) -> Computed:
        """Forward and backward pass of a part. For the alphas only their gradients are computed."""
        parameters = self.parameters[kind]
        for parameter in parameters:
            parameter.grad = None
        with torch.set_grad_enabled(kind != "weights"):
            mixture = self.mixture(inputs)
        with _frozen(self.stage.supernet, kind == "alphas"):
            loss, figures = self.loss(inputs, mixture)
            if kind != "weights":
                loss = loss + self._constraint(inputs)
            self.stage.scaler.scale(loss).backward()
        return Computed(figures, [_gradient(parameter) for parameter in parameters])

    def _constraint(self, inputs: Inputs) -> Tensor | float:
        """One part's share of what the recipe's ``resources`` add to the loss."""
        strength = STRENGTHS[self.stage.recipe.resources]
        if strength == 0.0:
            return 0.0
        alphas = dict(self.stage.architecture.alphas.items())
        if self._cost is None:
            height, width = inputs.images.shape[2:]
            self._cost = ExpectedCost(self.stage.supernet, height, width, like=alphas["normal"])
        return self._cost.penalty(alphas) * (strength / self.team.parts)

    def _update(self, *kinds: Literal["weights", "alphas"]) -> None:
        """Steps of the optimisers of ``kinds``, whose gradients come from one backward pass."""
        stage, scaler = self.stage, self.stage.scaler
        optimizers = {"weights": stage.weights_optimizer, "alphas": stage.alphas_optimizer}
        clips = {"weights": stage.recipe.weights_clip, "alphas": stage.recipe.alphas_clip}
        for kind in kinds:
            scaler.unscale_(optimizers[kind])
            if kind == "alphas":
                stage.note_gradients()
            if (clip := clips[kind]) is not None:
                nn.utils.clip_grad_norm_(self.parameters[kind], clip)
        for kind in kinds:
            scaler.step(optimizers[kind])
        scaler.update()


def running_statistics(module: nn.Module) -> list[Tensor]:
    """Means and variances that batch normalisation keeps."""
    names = ("running_mean", "running_var")
    return [buffer for name, buffer in module.named_buffers() if name.rpartition(".")[2] in names]


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextmanager
def _frozen(module: nn.Module, frozen: bool) -> Iterator[None]:
    """Within, the module's parameters take no gradients."""
    module.requires_grad_(not frozen)
    try:
        yield
    finally:
        module.requires_grad_(True)
