"""Zoom-out fills the border of an image with the mean that the model subtracts: zero for the network, as SSD has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdet.datasets.transforms import Expand
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS


@HOOKS.register_module()
class ZoomOutFill(Hook):
    """Gives every ``Expand`` of the training pipeline the mean of the model's own normalisation."""

    def before_train(self, runner: Any) -> None:
        """Set the fill colour; worker processes copy the data set later."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        preprocessor = model.data_preprocessor
        if not getattr(preprocessor, "_enable_normalize", False):
            return
        mean = preprocessor.mean.flatten().tolist()
        # The mean is in the order that the network sees, the image is still in that of its file, as OpenCV reads it.
        fill = mean[::-1] if preprocessor._channel_conversion else mean
        for transform in expansions(runner.train_dataloader.dataset):
            transform.mean = fill


def expansions(node: Any) -> Iterator[Expand]:
    """Every ``Expand`` in a data set, in those that it wraps, and within other transforms."""
    if isinstance(node, Expand):
        yield node
    elif isinstance(node, list | tuple):
        for child in node:
            yield from expansions(child)
    else:
        for name in ("pipeline", "transforms", "dataset", "datasets"):
            yield from expansions(getattr(node, name, ()))
