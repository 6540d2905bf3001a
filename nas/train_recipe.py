"""Every hyper-parameter of training a classification network, with the paper's values for CIFAR-10 as defaults.

Sources: P-DARTS (journal version), sections 5.1.2 (CIFAR) and 5.3.2 (ImageNet). Where the paper is silent the default
is what the authors' code does, and the field says so. The values for ImageNet are in the protocol ``retrain-imagenet``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkShape(_Frozen):
    """The network around the cells; a timm model has its own and ignores this."""

    stem: Literal["cifar", "imagenet"] = "cifar"
    channels: PositiveInt = 36  # "large": 64
    cells: int = Field(default=20, ge=3)


class Augmentation(_Frozen):
    """Random changes to the training images. ``crop="pad"`` is CIFAR's, ``crop="resized"`` ImageNet's."""

    crop: Literal["pad", "resized", "none"] = "pad"
    padding: int = Field(default=4, ge=0)  # pixels of zeros on each side, with crop="pad"
    area: tuple[float, float] = (0.08, 1.0)  # part of the photograph that is cropped, with crop="resized"
    flip: bool = True
    cutout: int = Field(default=16, ge=0)  # side of the square that is blanked, 0: off; the centre may be at the border
    # Brightness, contrast, saturation, hue, with crop="resized"; the authors' code has 0.4, 0.4, 0.4, 0.2 on ImageNet.
    colour_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class RetrainRecipe(_Frozen):
    """How a network is trained and which of its scores is the result."""

    network: NetworkShape = NetworkShape()
    image_size: PositiveInt | None = None  # pixels; the data set's own by default
    epochs: PositiveInt = 600
    batch_size: PositiveInt = 128  # over all devices and accumulated steps

    learning_rate: float = Field(default=0.025, gt=0)
    final_learning_rate: float = Field(default=0.0, ge=0)
    # "linear_gentle_end" is the authors' code on ImageNet: five times gentler over the last 5 epochs.
    schedule: Literal["cosine", "linear", "linear_gentle_end", "constant"] = "cosine"
    warmup_epochs: int = Field(default=0, ge=0)  # 5 on ImageNet
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=3e-4, ge=0)  # 5e-4 on CIFAR-100 (the authors' code: 3e-4)
    gradient_clip: float | None = 5.0  # largest norm; not stated in the paper, 5 in the authors' code

    drop_path: float = Field(default=0.3, ge=0, lt=1)  # networks of cells; DARTS evaluates with 0.2
    # Not stated in the paper; the authors' code raises it linearly, drop_path x epoch / epochs.
    drop_path_ramp: Literal["linear", "constant"] = "linear"
    auxiliary_weight: float = Field(default=0.4, ge=0)  # of the auxiliary head's loss; 0 builds none
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # 0.1 on ImageNet (value from the authors' code)
    augmentation: Augmentation = Augmentation()

    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    # Decay of averaged weights, which are then the ones that are scored; the paper has none.
    ema: float | None = Field(default=None, gt=0, lt=1)
    evaluate_every: int = Field(default=1, ge=0)  # epochs between test scores in the history; 0: the last epoch only
    # The result is the last epoch's. "best" is the best epoch on held-out training images, never on test images.
    holdout: float = Field(default=0.0, ge=0, lt=1)
    select: Literal["last", "best"] = "last"

    @model_validator(mode="after")
    def _consistent(self) -> RetrainRecipe:
        if self.select == "best" and self.holdout == 0:
            raise ValueError("select='best' needs holdout > 0: the best epoch may not be chosen on the test images")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})")
        return self


class Execution(_Frozen):
    """How the machine carries a recipe out. Nothing but ``accumulate`` changes what is computed beyond rounding."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    # Parts of each process's batch that are computed one after the other. Their gradients add up to the whole batch's,
    # but batch normalisation looks at one part, as it looks at one device's.
    accumulate: PositiveInt = 1
    channels_last: bool = True  # order of the pixels in memory, and on a CPU depthwise gradients that are quick in it
    compile: bool = False
    workers: int = Field(default=4, ge=0)  # processes that decode images of sets too large for memory
    checkpoint_seconds: float = Field(default=30.0, ge=0)  # 0: after every step
    checkpoints: PositiveInt = 2  # how many of the last ones are kept
