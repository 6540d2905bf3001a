"""SSD on any backbone by one line of a config: channels, strides and normalisation are read off the built backbone.

model = dict(type="SSD", num_classes=80, input_size=320,
             backbone=dict(type="CellBackbone", genotype="pdarts_cifar10", out_indices=(1, 2, 3)))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import SingleStageDetector
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import Tensor

from backbones.mmdet_import import prepare
from detection.body import levels_of, normalisation
from detection.levels import Anchors, LevelPlan, plan_levels
from nas.errors import NaswildError

prepare()

# Matching, hard negative mining (3 negatives a positive) and box coding of Liu et al. 2016, sections 2.1 and 2.2.
TRAIN_CFG = {
    "assigner": {
        "type": "MaxIoUAssigner",
        "pos_iou_thr": 0.5,
        "neg_iou_thr": 0.5,
        "min_pos_iou": 0.0,
        "ignore_iof_thr": -1,
        "gt_max_assign_all": False,
    },
    "sampler": {"type": "PseudoSampler"},
    "smoothl1_beta": 1.0,
    "allowed_border": -1,
    "pos_weight": -1,
    "neg_pos_ratio": 3,
    "debug": False,
}
# Suppression and the 200 boxes are SSD's; nms_pre and score_thr are mmdet's, Liu et al. have 400 a class and 0.01.
TEST_CFG = {
    "nms_pre": 1000,
    "nms": {"type": "nms", "iou_threshold": 0.45},
    "min_bbox_size": 0,
    "score_thr": 0.02,
    "max_per_img": 200,
}
BOX_CODER = {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": [0.1, 0.1, 0.2, 0.2]}


@MODELS.register_module()
class SSD(SingleStageDetector):
    """Single-shot detector around ``backbone``, one of this package or any other in mmdet's registry.

    Args:
        backbone: config of the backbone; its levels must fall in resolution (ours: ``out_indices=(1, 2, 3)``). Levels
            that it does not state are measured by running it once.
        num_classes: foreground classes.
        input_size: side of the square input in pixels.
        extra_channels: of the extra layers; the last one is repeated as needed.
        extra_norm: batch normalisation in the extra layers.
        depthwise: depthwise separable extra layers and heads (SSDLite, Sandler et al. 2018, section 6.2).
        anchors: arguments of :class:`detection.levels.Anchors`.
        train_cfg, test_cfg: merged over the values above.
        data_preprocessor: by default the backbone's own normalisation, RGB; ImageNet's if it states none.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        num_classes: int = 80,
        input_size: int = 320,
        extra_channels: Sequence[int] = (512, 256, 256),
        extra_norm: bool = True,
        depthwise: bool = False,
        anchors: dict[str, float] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        body = MODELS.build(backbone)
        BaseDetector.__init__(self, data_preprocessor or normalisation(body), init_cfg)
        self.input_size = input_size
        levels = levels_of(body, input_size)
        self.plan = plan_levels(levels.channels, levels.strides, input_size, extra_channels, Anchors(**(anchors or {})))
        self.train_cfg = ConfigDict(TRAIN_CFG | dict(train_cfg or {}))
        self.test_cfg = ConfigDict(TEST_CFG | dict(test_cfg or {}))
        self.backbone = body
        self.neck = MODELS.build(neck_config(self.plan, extra_norm, depthwise))
        self.bbox_head = MODELS.build(
            head_config(self.plan, num_classes, depthwise) | {"train_cfg": self.train_cfg, "test_cfg": self.test_cfg}
        )

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of images (N, 3, H, W); the anchors are for ``input_size`` pixels alone."""
        height, width = batch_inputs.shape[2:]
        if (height, width) != (self.input_size, self.input_size):
            raise NaswildError(
                f"SSD is built for {self.input_size} x {self.input_size} pixels and was given {height} x {width}: make "
                "input_size of the model the scale of Resize in every pipeline, with keep_ratio=False"
            )
        features: tuple[Tensor, ...] = super().extract_feat(batch_inputs)
        return features


def neck_config(plan: LevelPlan, norm: bool, depthwise: bool) -> dict[str, Any]:
    """The extra layers. No L2 scaling of the first level: it is for VGG, whose features have no batch normalisation."""
    given = len(plan.channels) - len(plan.extra_strides)
    return {
        "type": "SSDNeck",
        "in_channels": plan.channels[:given],
        "out_channels": plan.channels,
        "level_strides": plan.extra_strides,
        "level_paddings": plan.extra_paddings,
        "l2_norm_scale": None,
        "use_depthwise": depthwise,
        "norm_cfg": {"type": "BN"} if norm else None,
    }


def head_config(plan: LevelPlan, num_classes: int, depthwise: bool) -> dict[str, Any]:
    """Class scores and box offsets from each level by one 3x3 convolution each.

    The weights start near zero (as in SSDLite): a cell's output is a sum of many normalised paths, and Xavier's start
    would turn it into scores of a size that the first hundred steps are spent on undoing.
    """
    return {
        "type": "SSDHead",
        "in_channels": plan.channels,
        "num_classes": num_classes,
        "use_depthwise": depthwise,
        "norm_cfg": {"type": "BN"} if depthwise else None,
        "act_cfg": {"type": "ReLU6"} if depthwise else None,
        "anchor_generator": {
            "type": "SSDAnchorGenerator",
            "scale_major": False,
            "strides": list(plan.strides),
            "ratios": [list(ratios) for ratios in plan.ratios],
            "min_sizes": list(plan.min_sizes),
            "max_sizes": list(plan.max_sizes),
        },
        "bbox_coder": BOX_CODER,
        "init_cfg": {"type": "Normal", "layer": "Conv2d", "std": 0.001},
    }
