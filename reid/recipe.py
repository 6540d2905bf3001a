"""Every hyper-parameter of re-identification in one place; the defaults are the PCB paper's."""

from __future__ import annotations

from math import cos, pi
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reid.distances import Metric
from reid.pcb import Descriptor
from reid.ranking import Precision


class ReidRecipe(BaseModel):
    """How a backbone with a PCB head is trained and evaluated on one re-identification set.

    Defaults: Sun et al., ECCV 2018, implementation details (384x128, 60 epochs of batch 64, base learning rate 0.1, a
    tenth of it for the pretrained backbone, a tenth of both after 40 epochs, flips). What the paper leaves open
    (momentum, weight decay) is the authors' code's; options that neither uses are off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: int = Field(384, gt=0, description="pixels")
    width: int = Field(128, gt=0, description="pixels")
    last_stride: Literal[1, 2] = Field(1, description="stride of the backbone's last reduction")

    reduced_dim: int = Field(256, gt=0, description="channels of a part after its 1x1 convolution")
    shared_reduction: bool = Field(False, description="one 1x1 convolution for all parts, as in the authors' code")
    descriptor: Descriptor = Field("before_reduction", description="G or H of the paper; G is its choice")
    normalise_stripes: bool = Field(
        False, description="each stripe of the descriptor to length 1, as the authors' code"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="on the averaged stripes; the authors' code uses 0.5")

    epochs: int = Field(60, ge=0)
    batch_size: int = Field(64, gt=1, description="images over all devices")
    learning_rate: float = Field(0.1, gt=0, description="of the head")
    backbone_multiplier: float = Field(0.1, ge=0, description="the backbone's learning rate over the head's")
    frozen_epochs: int = Field(
        0, ge=0, description="first epochs in which only the head learns; the backbone's statistics rest too"
    )
    warmup_epochs: float = Field(0.0, ge=0, description="linear rise from 0 to the learning rate")
    schedule: Literal["steps", "cosine"] = Field("steps", description="the paper's steps, or half a cosine to 0")
    milestones: tuple[int, ...] = Field(
        (40,), description="epochs after which the learning rate falls (schedule: steps)"
    )
    gamma: float = Field(0.1, gt=0, description="factor at each milestone")
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)

    flip: float = Field(0.5, ge=0, le=1, description="probability of a mirrored training image")
    padding: int = Field(0, ge=0, description="pixels of black around the image before a random crop")
    erasing: float = Field(0.0, ge=0, le=1, description="probability of random erasing (Zhong et al., AAAI 2020)")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"

    triplet_weight: float = Field(0.0, ge=0, description="weight of the batch-hard triplet loss on the descriptor")
    triplet_margin: float = Field(0.3, ge=0)
    images_per_identity: int = Field(0, ge=0, description="0: plain shuffling; k: batches of k images per identity")

    train_on: Literal["train", "train+val"] = Field("train", description="MSMT17: without or with its validation list")
    flip_test: bool = Field(False, description="average the descriptors of an image and its mirror image")
    metric: Metric = Field("cosine", description="distance of descriptors")
    average_precision: Precision = Field("plain", description="torchreid's, or Market-1501's trapezia")
    rerank: bool = Field(False, description="k-reciprocal re-ranking (Zhong et al., CVPR 2017)")

    @model_validator(mode="after")
    def _consistent(self) -> ReidRecipe:
        if self.triplet_weight and self.images_per_identity < 2:
            raise ValueError("the triplet loss needs images_per_identity >= 2: without, a batch may hold no pair")
        if self.triplet_weight and self.batch_size < 2 * self.images_per_identity:
            raise ValueError("the triplet loss needs a batch_size of two identities at least")
        if self.images_per_identity and self.batch_size % self.images_per_identity:
            raise ValueError("batch_size must be a multiple of images_per_identity")
        return self

    def learning_rate_factor(self, progress: float) -> float:
        """Factor of both learning rates after ``progress`` epochs; fractions count in warm-up and cosine."""
        warmup = min(1.0, progress / self.warmup_epochs) if self.warmup_epochs else 1.0
        if self.schedule == "cosine":
            return warmup * 0.5 * (1 + cos(pi * progress / max(self.epochs, 1)))
        return warmup * self.gamma ** sum(progress >= milestone for milestone in self.milestones)
