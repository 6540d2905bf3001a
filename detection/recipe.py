"""Every hyper-parameter of a detection run; the defaults are SSD320 as it would be trained on COCO.

The paper (section 5.4.1, Table 4) states the detector (SSD), the inputs (320 and 512), the training images
(trainval35k) and that the backbone comes from ImageNet. What it leaves open is chosen here, each with its reason; the
protocol files ``detect-ssd320`` and ``detect-ssd512`` say the same with their sources.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectorShape(_Frozen):
    """Backbone levels, extra layers and anchors."""

    channels: PositiveInt = 48  # C of a network of cells that is built from a genotype (a weights file has its own)
    cells: int = Field(default=14, ge=3)
    # Levels at strides 8, 16 and 32: SSD300 starts at stride 8, and C of stage 1 is too early to classify anything.
    levels: tuple[int, ...] = (1, 2, 3)
    extra_channels: tuple[PositiveInt, ...] = (512, 256, 256)  # SSD300's
    extra_norm: bool = True  # the backbone has batch normalisation everywhere; VGG, for which SSD had none, does not
    depthwise: bool = False  # SSDLite's separable convolutions
    # Anchor sizes as fractions of the input: SSD300's on COCO. SSD512's are 0.04, 0.10, 0.9.
    anchor_first: float = Field(default=0.07, gt=0, lt=1)
    anchor_second: float = Field(default=0.15, gt=0, lt=1)
    anchor_last: float = Field(default=0.9, gt=0)

    @model_validator(mode="after")
    def _anchors_grow(self) -> DetectorShape:
        if not self.anchor_first < self.anchor_second < self.anchor_last:
            raise ValueError("anchor sizes must grow: anchor_first < anchor_second < anchor_last")
        return self


class DetectAugmentation(_Frozen):
    """SSD's changes to a training image (Liu et al. 2016, sections 2.2 and 3.6)."""

    photometric: bool = True
    expand: float = Field(default=4.0, ge=1)  # largest zoom-out; 1 turns it off
    crop: bool = True  # patches of least overlap 0.1, 0.3, 0.5, 0.7, 0.9 with an object
    flip: float = Field(default=0.5, ge=0, le=1)


class DetectRecipe(_Frozen):
    """How a detector is built, trained and scored."""

    input_size: PositiveInt = 320
    shape: DetectorShape = DetectorShape()
    augmentation: DetectAugmentation = DetectAugmentation()

    frozen_stages: int = -1  # the whole backbone is trained, as SSD trains VGG
    norm_eval: bool = False
    norm: Literal["BN", "SyncBN"] = "BN"
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    checkpointing: bool = False

    epochs: PositiveInt = 120  # passes: mmdet's SSD runs 24 epochs over a data set repeated 5 times
    batch_size: PositiveInt = 64  # over all devices (8 x 8)
    optimizer: Literal["sgd", "adamw"] = "sgd"  # SSD's; adamw is for runs of a few hundred steps
    # SSD's 0.001 for a batch of 32 is for VGG without normalisation; with it ten times as much is stable.
    learning_rate: float = Field(default=0.02, gt=0)
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[PositiveInt, ...] = (80, 110)  # x 0.1 each: two thirds and 11/12 of the epochs, as mmdet's 16, 22
    warmup_steps: int = Field(default=500, ge=0)  # linear, from a thousandth
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)  # SSD's
    gradient_clip: float | None = None
    backbone_learning_rate: float = Field(default=1.0, ge=0)  # factor for the backbone's weights
    ema: float | None = Field(default=None, gt=0, lt=1)  # decay of averaged weights, which are then scored
    precision: Literal["fp32", "amp"] = "fp32"

    score_threshold: float = Field(default=0.02, ge=0, lt=1)  # mmdet's; Liu et al. have 0.01
    # Best scores of a level that reach non-maximum suppression: mmdet's number; Liu et al. keep 400 of each class.
    nms_candidates: PositiveInt = 1000
    nms_threshold: float = Field(default=0.45, gt=0, le=1)  # SSD's, as are the 200
    max_detections: PositiveInt = 200  # kept per image; COCO scores the best 100

    @model_validator(mode="after")
    def _milestones_in_time(self) -> DetectRecipe:
        if self.schedule == "step" and any(m >= self.epochs for m in self.milestones):
            raise ValueError(f"milestones {self.milestones} must lie before the last of {self.epochs} epochs")
        return self


class Execution(_Frozen):
    """How the machine carries a recipe out; nothing here changes the result beyond the rounding of sums."""

    workers: int | Literal["auto"] = (
        "auto"  # loading processes; auto: none for sets of under 2,000 images, else up to 4
    )
    engine: Literal["hotcoco", "pycocotools"] = "hotcoco"
    eval_batch_size: PositiveInt = 16
