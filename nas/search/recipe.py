"""Every hyper-parameter of a search. The defaults are P-DARTS on CIFAR-10 as printed in sections 5.1.1 and 5.2.4.

Where the official code does something else, that is a named value of the field, described beside it.
"""

from __future__ import annotations

from math import cos, exp, pi
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from nas.train_recipe import Augmentation

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]


class SearchRecipe(BaseModel):
    """How a search runs. Fields with one value per stage are tuples; their common length is the number of stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The supernet of each stage: depth 5, 11, 17; eight, five, three operations an edge (5.1.1); 16 channels (5.2.4).
    cells: tuple[Annotated[int, Field(ge=3)], ...] = (5, 11, 17)
    operations: tuple[Annotated[int, Field(ge=2, le=8)], ...] = (8, 5, 3)
    channels: tuple[Positive, ...] = (16, 16, 16)
    stem: Literal["cifar", "imagenet"] = "cifar"

    # Length of each stage; in the first epochs the architecture rests and only the weights learn (5.1.1).
    epochs: Positive = 25
    warmup_epochs: Annotated[int, Field(ge=0)] = 10
    batch_size: Positive = 96

    # Search space regularisation (4.3): dropout after each skip-connect, its initial rate per stage (5.1.1; 0.0, 0.3,
    # 0.6 in the ablations; the official README passes 0.1, 0.4, 0.7).
    skip_dropout: tuple[Rate, ...] = (0.0, 0.4, 0.7)
    # "exponential": from the initial rate in the first epoch down to `skip_dropout_end` of it in the last.
    # "official_code": linear during the warm-up, back to the initial rate, then exp(-0.2) per epoch.
    skip_dropout_decay: Literal["exponential", "official_code", "constant"] = "exponential"
    # Not printed in the paper; the official code ends a stage of 25 epochs at 0.061 of the initial rate.
    skip_dropout_end: Annotated[float, Field(gt=0.0, le=1.0)] = 0.06
    # "all": after each skip-connect (paper). "identity": not after the reduction cell's strided ones (official code).
    skip_dropout_on: Literal["all", "identity"] = "all"

    # Architecture refinement (4.3.2, 5.1.1): at most M skip-connects in the normal cell; `exact_skips`: a constant M.
    # "one_by_one" removes only the weakest before rebuilding the cell (official code).
    max_skips: Annotated[int, Field(ge=0, le=8)] | None = 2
    exact_skips: bool = False
    refinement: Literal["at_once", "one_by_one"] = "at_once"

    # Network weights: SGD, cosine to zero within a stage (not printed; DARTS' values, which the official code has).
    weights_lr: Annotated[float, Field(gt=0.0)] = 0.025
    weights_lr_end: Annotated[float, Field(ge=0.0)] = 0.0
    weights_momentum: Rate = 0.9
    weights_decay: Annotated[float, Field(ge=0.0)] = 3e-4
    weights_clip: Annotated[float, Field(gt=0.0)] | None = 5.0

    # Architecture weights: Adam (5.1.1). The official code also clips their gradients at norm 5.
    alphas_lr: Annotated[float, Field(gt=0.0)] = 6e-4
    alphas_decay: Annotated[float, Field(ge=0.0)] = 1e-3
    alphas_betas: tuple[Rate, Rate] = (0.5, 0.999)
    alphas_clip: Annotated[float, Field(gt=0.0)] | None = None
    alphas_std: Annotated[float, Field(ge=0.0)] = 1e-3
    # Footnote of 4.2: start a stage from the surviving weights of the one before instead of from noise.
    carry_alphas: bool = False

    # Data: half of the training images for the weights, half for the architecture. "random": a random split by seed
    # (paper). "index": first half, second half (official code).
    halves: Literal["random", "index"] = "random"
    # Number of training images to use, drawn by the seed, for searches of minutes. None: all of them.
    images: Annotated[int, Field(ge=2)] | None = None
    # Pixels; the proxy's own size by default.
    image_size: Positive | None = None
    # Off in the search (5.2.4): cutout. The rest is CIFAR's usual.
    augmentation: Augmentation = Augmentation(cutout=0)

    # Accuracy on the architecture half in evaluation mode, in the last N epochs of a stage. The official code
    # validates while fewer than five epochs are left, which are the last four.
    validate_last: Annotated[int, Field(ge=0)] = 4

    # PC-DARTS: one of `partial` channels passes the operations; edges carry weights of their own.
    partial: Positive = 1
    edge_normalisation: bool = False
    # SNAS and GDAS: temperature of the Gumbel softmax, first and last epoch of a stage (linear between them).
    temperature: tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(gt=0.0)]] = (10.0, 0.1)
    # SNAS: how strongly the expected cost of the architecture is held down (:mod:`nas.search.resources`).
    resources: Literal["free", "mild", "moderate", "aggressive"] = "free"

    # Multiply-adds that the ImageNet network of the cell may have (mobile setting: 600 million); None: not checked.
    max_macs: Positive | None = None

    # Arithmetic and memory. Checkpointing computes the inside of a cell again in the backward pass, instead of keeping.
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    checkpointing: bool = False

    @field_validator("augmentation", mode="before")
    @classmethod
    def _without_cutout(cls, value: Any) -> Any:
        """A mapping that is silent on cutout means a search's, which is none, and not a training's."""
        return {"cutout": 0, **value} if isinstance(value, dict) else value

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.cells)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("operations", "channels", "skip_dropout"):
            found = len(getattr(self, name))
            if found != self.stages:
                raise ValueError(f"{name} has {found} values, cells has {self.stages}: give one value per stage")
        if not self.cells:
            raise ValueError("cells is empty: a search has at least one stage")
        if list(self.operations) != sorted(self.operations, reverse=True) or self.operations[0] != 8:
            raise ValueError(f"operations {self.operations}: it starts with all 8 and never grows")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs} leaves none of {self.epochs} epochs for the architecture"
            )
        if any(channels % self.partial for channels in self.channels):
            raise ValueError(f"partial {self.partial} does not divide the channels {self.channels}")
        return self

    def dropout_rate(self, stage: int, epoch: int) -> float:
        """Rate of the dropout on skip-connects in ``epoch`` of ``stage``, both counted from 0 (section 4.3.1)."""
        initial = self.skip_dropout[stage]
        if self.skip_dropout_decay == "constant":
            return initial
        if self.skip_dropout_decay == "exponential":
            return initial * self.skip_dropout_end ** (epoch / max(self.epochs - 1, 1))
        if epoch < self.warmup_epochs:
            return initial * (self.epochs - epoch - 1) / self.epochs
        return initial * exp(-0.2 * (epoch - self.warmup_epochs))

    def learning_rate(self, epoch: int) -> float:
        """Learning rate of the network weights in ``epoch``: cosine from ``weights_lr`` towards ``weights_lr_end``."""
        fall = self.weights_lr - self.weights_lr_end
        return self.weights_lr_end + 0.5 * fall * (1.0 + cos(pi * epoch / self.epochs))

    def gumbel_temperature(self, epoch: int) -> float:
        """Temperature of the Gumbel softmax in ``epoch``, linear from the first value to the last."""
        first, last = self.temperature
        return first + (last - first) * epoch / max(self.epochs - 1, 1)
