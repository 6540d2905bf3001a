"""An mmengine hook that ends a run which would train nothing, score other classes than it trained, or has diverged."""

from __future__ import annotations

# ruff: noqa: ARG002  (the signatures are mmengine's)
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop

from nas.errors import NaswildError


@HOOKS.register_module()
class RunGuard(Hook):
    """Raises :class:`NaswildError` where mmengine would continue to a meaningless result.

    In a config it is in ``default_hooks``, which a user's ``custom_hooks`` does not overwrite.
    """

    def before_train(self, runner: Any) -> None:
        """Refuse a loader without a batch, and a validation set that numbers its classes otherwise."""
        require_batches(runner.train_dataloader, runner.world_size)
        if runner.val_loop is not None:
            _same_classes(_classes(runner.train_dataloader), _classes(runner.val_loop.dataloader), "the training set")

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Refuse to test a detector on a set that numbers its classes otherwise."""
        only_tests = isinstance(runner._test_loop, BaseLoop) and not isinstance(runner._train_loop, BaseLoop)
        trained = checkpoint.get("meta", {}).get("dataset_meta", {}).get("classes")
        if only_tests and trained:
            _same_classes(trained, _classes(runner.test_loop.dataloader), "the checkpoint")

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Stop at the first loss that is infinite or not a number."""
        loss = (outputs or {}).get("loss")
        if loss is not None and not bool(torch.isfinite(loss).all()):
            raise _diverged(f"the loss is {float(loss.detach())}", f"epoch {runner.epoch + 1}, step {batch_idx + 1}")

    def after_train_epoch(self, runner: Any) -> None:
        """Stop before weights or running statistics that are not finite are saved: the last step can leave them."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name, value in model.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise _diverged(f"{name} is not finite", f"the end of epoch {runner.epoch + 1}")


def require_batches(loader: Any, processes: int = 1) -> None:
    """Raise :class:`NaswildError` if an epoch of ``loader`` would have no step."""
    if len(loader) == 0:
        batch = loader.batch_size * processes
        raise NaswildError(
            f"the training set has {len(loader.dataset)} images with boxes, fewer than a batch of {batch}: "
            "no step could be made; lower batch_size"
        )


def _diverged(what: str, where: str) -> NaswildError:
    return NaswildError(
        f"training diverged: {what} at {where}; the last whole epoch is kept. Lower the learning rate, "
        "lengthen the warm-up or clip gradients"
    )


def _classes(loader: Any) -> tuple[str, ...]:
    return tuple(loader.dataset.metainfo.get("classes", ()))


def _same_classes(trained: Sequence[str], scored: Sequence[str], owner: str) -> None:
    if tuple(trained) != tuple(scored):
        raise NaswildError(
            f"labels mean other classes here than in {owner}: {', '.join(trained[:10])} against "
            f"{', '.join(scored[:10])}; give both data sets one order: metainfo=dict(classes=(...))"
        )
