"""The mmengine config of one run: what mmdet's Runner is told, built from a recipe, a data set and a backbone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config

from detection.coco_eval import MAX_DETECTIONS
from detection.data import CocoData, CocoSplit
from detection.recipe import DetectRecipe, Execution
from nas.errors import NaswildError

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, 0..255; the hook ZoomOutFill puts the backbone's in its place
SMALL_SET = 2000  # images below which loading in the main process is as fast as starting workers
META_KEYS = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")


def build_config(
    backbone: dict[str, Any],
    data: CocoData,
    recipe: DetectRecipe,
    execution: Execution,
    *,
    seed: int,
    workdir: Path,
    split: str = "val",
    world_size: int = 1,
) -> Config:
    """Everything the Runner needs to train and to score on ``split``.

    ``recipe.batch_size`` is divided over ``world_size`` processes.

    Raises :class:`NaswildError` if it cannot be, or if the recipe asks for mixed precision and there is no GPU.
    """
    if recipe.batch_size % world_size:
        raise NaswildError(f"a batch of {recipe.batch_size} images cannot be divided among {world_size} processes")
    train_images = len(data.train.read()["images"])
    return Config(
        {
            "custom_imports": {"imports": ["detection.mmdet_models"], "allow_failed_imports": False},
            "default_scope": "mmdet",
            "work_dir": str(workdir),
            "randomness": {"seed": seed},
            **_parallel(world_size),
            "resume": True,
            "model": model_config(backbone, len(data.classes), recipe),
            "train_dataloader": _train_loader(data, recipe, execution, seed, train_images, world_size),
            "train_cfg": {"by_epoch": True, "max_epochs": recipe.epochs, "val_begin": recipe.epochs + 1},
            **evaluation_config(data.split(split), data.classes, recipe.input_size, execution, "val"),
            **evaluation_config(data.test or data.val, data.classes, recipe.input_size, execution, "test"),
            "optim_wrapper": _optimizer(recipe),
            "param_scheduler": _schedule(recipe),
            "default_hooks": {
                "runtime_info": {"type": "LeanRuntimeInfo"},
                "logger": {"type": "LoggerHook", "interval": 50},
                "checkpoint": None,
                "guard": {"type": "RunGuard"},
            },
            "custom_hooks": _hooks(recipe, seed),
            "env_cfg": {"cudnn_benchmark": False, "mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
        }
    )


def _parallel(world_size: int) -> dict[str, Any]:
    """How several processes share a model; on CPU mmengine must not be let to name a GPU for each."""
    if world_size == 1:
        return {"launcher": "none"}
    wrapper: dict[str, Any] = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}
    return {
        "launcher": "pytorch",
        "model_wrapper_cfg": wrapper if torch.cuda.is_available() else wrapper | {"device_ids": None},
    }


def model_config(backbone: dict[str, Any], num_classes: int, recipe: DetectRecipe) -> dict[str, Any]:
    """The detector: :class:`detection.ssd.SSD` around ``backbone``."""
    shape = recipe.shape
    return {
        "type": "SSD",
        "backbone": backbone,
        "num_classes": num_classes,
        "input_size": recipe.input_size,
        "extra_channels": shape.extra_channels,
        "extra_norm": shape.extra_norm,
        "depthwise": shape.depthwise,
        "anchors": {"first": shape.anchor_first, "second": shape.anchor_second, "last": shape.anchor_last},
        "test_cfg": {
            "score_thr": recipe.score_threshold,
            "nms": {"type": "nms", "iou_threshold": recipe.nms_threshold},
            "nms_pre": recipe.nms_candidates,
            "max_per_img": recipe.max_detections,
        },
    }


def evaluation_config(
    split: CocoSplit, classes: Sequence[str], input_size: int, execution: Execution, role: Literal["val", "test"]
) -> dict[str, Any]:
    """Loader, loop and metric that score a detector of ``classes`` on ``split``, as the Runner names them."""
    size = (input_size, input_size)
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": size, "keep_ratio": False},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "PackDetInputs", "meta_keys": META_KEYS},
    ]
    workers = _workers(execution, len(split.read()["images"]))
    return {
        f"{role}_dataloader": {
            "batch_size": execution.eval_batch_size,
            "num_workers": workers,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "dataset": {**_dataset(split, classes, workers), "test_mode": True, "pipeline": pipeline},
        },
        f"{role}_cfg": {},
        f"{role}_evaluator": {
            "type": "FastCocoMetric",
            "ann_file": str(split.annotations),
            "metric": "bbox",
            "proposal_nums": MAX_DETECTIONS,
            "engine": execution.engine,
        },
    }


def train_pipeline(recipe: DetectRecipe) -> list[dict[str, Any]]:
    """SSD's augmentation, as far as the recipe asks for it."""
    augmentation, size = recipe.augmentation, (recipe.input_size, recipe.input_size)
    steps: list[dict[str, Any]] = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True}]
    if augmentation.expand > 1:
        ratio = (1, augmentation.expand)
        steps.append({"type": "Expand", "mean": IMAGENET_MEAN, "to_rgb": True, "ratio_range": ratio})
    if augmentation.crop:
        steps.append({"type": "MinIoURandomCrop", "min_ious": (0.1, 0.3, 0.5, 0.7, 0.9), "min_crop_size": 0.3})
    steps.append({"type": "Resize", "scale": size, "keep_ratio": False})
    if augmentation.flip > 0:
        steps.append({"type": "RandomFlip", "prob": augmentation.flip})
    if augmentation.photometric:
        steps.append({"type": "PhotoMetricDistortion"})
    return [*steps, {"type": "PackDetInputs"}]


def _train_loader(
    data: CocoData, recipe: DetectRecipe, execution: Execution, seed: int, images: int, world_size: int
) -> dict[str, Any]:
    workers = _workers(execution, images)
    return {
        "batch_size": max(1, recipe.batch_size // world_size),
        "num_workers": workers,
        "sampler": {"type": "CountVisits", "sampler": {"type": "DefaultSampler", "shuffle": True}},
        # The last level is 1 x 1: a remaining batch of one image would leave batch normalisation a single value.
        "drop_last": True,
        "dataset": {
            **_dataset(data.train, data.classes, workers),
            "augment_seed": seed,
            "filter_cfg": {"filter_empty_gt": True},
            "pipeline": train_pipeline(recipe),
        },
    }


def _dataset(split: CocoSplit, classes: Sequence[str], workers: int) -> dict[str, Any]:
    """A part, whose labels are positions in ``classes`` whatever the order of its own categories."""
    return {
        "type": "CocoFormatDataset",
        "ann_file": str(split.annotations),
        "data_prefix": {"img": str(split.images)},
        "metainfo": {"classes": tuple(classes)},
        "masks": False,
        "serialize_data": workers > 0,  # shared by worker processes as one block of memory
    }


def _workers(execution: Execution, images: int) -> int:
    if execution.workers != "auto":
        return execution.workers
    return 0 if images < SMALL_SET else min(4, os.cpu_count() or 1)


def _optimizer(recipe: DetectRecipe) -> dict[str, Any]:
    if recipe.precision == "amp" and not torch.cuda.is_available():
        raise NaswildError("precision 'amp' needs a GPU, and none is in reach: train with precision 'fp32'")
    optimizer: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "fused": recipe.precision == "fp32",  # a fused step unscales gradients itself, before they could be clipped
    }
    if recipe.optimizer == "sgd":
        optimizer |= {"type": "SGD", "momentum": recipe.momentum}
    else:
        optimizer |= {"type": "AdamW", "betas": (recipe.momentum, 0.999)}
    wrapper: dict[str, Any] = {
        "type": "AmpOptimWrapper" if recipe.precision == "amp" else "OptimWrapper",
        "optimizer": optimizer,
    }
    if recipe.gradient_clip is not None:
        wrapper["clip_grad"] = {"max_norm": recipe.gradient_clip}
    if recipe.backbone_learning_rate != 1:
        wrapper["paramwise_cfg"] = {"custom_keys": {"backbone": {"lr_mult": recipe.backbone_learning_rate}}}
    return wrapper


def _schedule(recipe: DetectRecipe) -> list[dict[str, Any]]:
    """Linear warm-up by step, then the recipe's schedule: "step" by epoch, "cosine" by step.

    mmengine counts the steps of the cosine from its loader: images without boxes are left out of that.
    """
    schedules: list[dict[str, Any]] = []
    if recipe.warmup_steps:
        end = recipe.warmup_steps
        schedules.append({"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": end})
    if recipe.schedule == "step":
        schedules.append({"type": "MultiStepLR", "by_epoch": True, "milestones": list(recipe.milestones), "gamma": 0.1})
    else:
        cosine = {"type": "CosineAnnealingLR", "T_max": recipe.epochs, "end": recipe.epochs, "eta_min": 0.0}
        schedules.append(cosine | {"by_epoch": True, "convert_to_iter_based": True})
    return schedules


def _hooks(recipe: DetectRecipe, seed: int) -> list[dict[str, Any]]:
    hooks: list[dict[str, Any]] = [
        {"type": "ExactRandomness", "seed": seed},
        {"type": "ZoomOutFill"},
        {"type": "SyncBuffersHook"},  # several processes: one set of running statistics, to save and to score with
        {"type": "NumClassCheckHook"},
    ]
    if recipe.ema is not None:
        hooks.append({"type": "EMAHook", "ema_type": "ExpMomentumEMA", "momentum": 1 - recipe.ema})
    return hooks
