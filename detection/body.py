"""What SSD must know of its backbone: channels and strides of its levels, and how it wants images normalised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backbones.probe import evaluating
from backbones.pyramid import IMAGENET_MEAN, IMAGENET_STD
from nas.errors import NaswildError


@dataclass(frozen=True)
class Levels:
    """Per level of a backbone its channels and its stride in pixels."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


def levels_of(body: Any, input_size: int) -> Levels:
    """Return what ``body`` says of its levels, or else what it puts out for an image of ``input_size`` pixels."""
    if _states_all(body):
        return Levels(tuple(body.channels), tuple(body.strides))
    with evaluating(body), torch.no_grad():
        outputs = body(torch.zeros(1, 3, input_size, input_size))
    levels = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    strides = tuple(2 ** round(math.log2(input_size / level.shape[-1])) for level in levels)
    return Levels(tuple(level.shape[1] for level in levels), strides)


def normalisation(body: Any) -> dict[str, Any]:
    """Return the preprocessor of images: mmdet reads pixels as BGR from 0 to 255, mean and std are RGB from 0 to 1.

    They are those of ``body``, or ImageNet's as torchvision's weights take them if it has none (mmdet's own).

    Raises :class:`NaswildError` for weights in Caffe's form, whose normalisation differs from model to model.
    """
    stated = _states_all(body)
    if not stated and _is_caffe(body):
        raise NaswildError(
            f"SSD cannot tell how {type(body).__name__} with weights in Caffe's form wants its images normalised: copy "
            "data_preprocessor from the mmdet config that the backbone comes from into the model"
        )
    mean, std = (body.mean, body.std) if stated else (IMAGENET_MEAN, IMAGENET_STD)
    return {
        "type": "mmdet.DetDataPreprocessor",
        "mean": [255 * value for value in mean],
        "std": [255 * value for value in std],
        "bgr_to_rgb": True,
        "pad_size_divisor": 1,
    }


def _states_all(body: Any) -> bool:
    """Ours do; mmdet's ResNet has ``strides`` too, but they are those of its stages."""
    return all(hasattr(body, name) for name in ("channels", "strides", "mean", "std"))


def _is_caffe(body: Any) -> bool:
    return getattr(body, "style", "") == "caffe" or "caffe" in str(getattr(body, "init_cfg", ""))
