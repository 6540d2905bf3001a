"""mmengine hooks: exact randomness, a resume point after every epoch, and progress reports."""

from __future__ import annotations

# ruff: noqa: ARG002  (the signatures are mmengine's)
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from nas.checkpoint import load_checkpoint, save_checkpoint
from nas.errors import NaswildError
from nas.progress import Progress, Report
from nas.seeding import seed_all


@HOOKS.register_module()
class ExactRandomness(Hook):
    """Makes every draw of a training step a function of (seed, epoch, step, rank): a resumed run draws the same.

    The order of the images is one of seed and epoch by mmengine's sampler, their augmentation by
    :class:`detection.visits.CountVisits`.
    """

    priority = "VERY_HIGH"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        seed_all(self.seed, "step", runner.epoch, batch_idx, get_rank())


@HOOKS.register_module()
class LeanRuntimeInfo(RuntimeInfoHook):
    """mmengine's bookkeeping of epoch and iteration without formatting the whole config, which takes seconds."""

    def before_run(self, runner: Any) -> None:
        runner.message_hub.update_info_dict({"seed": runner.seed, "experiment_name": runner.experiment_name})
        self.last_loop_stage = None


class ResumePoint(Hook):
    """Saves the whole state of a run after each epoch, atomically, with the epoch before as a reserve.

    What is saved: weights, running statistics, optimizer (momentum, loss scale), schedulers, EMA, position, history.
    """

    priority = "VERY_LOW"

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity
        self.history: list[dict[str, float]] = []
        self.images = 0
        self.busy_seconds = 0.0
        self._loss_sum = 0.0
        self._epoch_start = 0.0

    def before_train_epoch(self, runner: Any) -> None:
        self._loss_sum = 0.0
        self._epoch_start = time.perf_counter()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        self._loss_sum += _loss(outputs)

    def after_train_epoch(self, runner: Any) -> None:
        """Close the epoch's record and write the resume point (the main process alone)."""
        steps = len(runner.train_dataloader)
        self.busy_seconds += time.perf_counter() - self._epoch_start
        self.images += steps * runner.train_dataloader.batch_size * runner.world_size
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        self.history.append(
            {"epoch": runner.epoch + 1, "learning_rate": rate, "train_loss": self._loss_sum / max(steps, 1)}
        )
        if is_main_process():
            save_checkpoint(self.path, self._state(runner))

    def _state(self, runner: Any) -> dict[str, Any]:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        state = {
            "identity": self.identity,
            "epoch": runner.epoch + 1,
            "iter": runner.iter,
            "state_dict": model.state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
            "history": self.history,
            "images": self.images,
            "busy_seconds": self.busy_seconds,
        }
        runner.call_hook("before_save_checkpoint", checkpoint=state)  # the EMA hook adds its weights
        return state

    def restore(self, runner: Any) -> bool:
        """Continue from the newest whole resume point; False if there is none.

        Raises :class:`NaswildError` if it is another run's: other data, recipe, backbone or seed.
        """
        state = load_checkpoint(self.path)
        if state is None:
            return False
        if state["identity"] != self.identity:
            raise NaswildError(f"{self.path} is of another run (data, recipe, backbone or seed differ); delete it")
        runner.call_hook("after_load_checkpoint", checkpoint=state)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.load_state_dict(state["state_dict"])
        runner.optim_wrapper.load_state_dict(state["optimizer"])
        for scheduler, saved in zip(runner.param_schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        runner.train_loop._epoch, runner.train_loop._iter = state["epoch"], state["iter"]
        self.history, self.images, self.busy_seconds = state["history"], state["images"], state["busy_seconds"]
        return True


class InferenceClock(Hook):
    """Measures evaluation: network and post-processing, without loading."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.images, self.seconds, self._start = 0, 0.0, 0.0

    def before_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._start = time.perf_counter()

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.seconds += time.perf_counter() - self._start
        self.images += len(outputs or ())


class ReportProgress(Hook):
    """Tells ``report`` every step of training and evaluation, and ``beat`` (the clock) that the run is alive."""

    priority = "LOWEST"

    def __init__(self, report: Report, beat: Callable[[], None]) -> None:
        self.report = report
        self.beat = beat

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        self.beat()
        metrics = {"loss": _loss(outputs), "lr": runner.optim_wrapper.param_groups[0]["lr"]}
        steps = len(runner.train_dataloader)
        self.report(Progress("detect", runner.epoch, runner.max_epochs, batch_idx + 1, steps, metrics))

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.beat()
        self.report(Progress("evaluate", 0, 1, batch_idx + 1, len(runner.val_dataloader)))

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.beat()
        self.report(Progress("evaluate", 0, 1, batch_idx + 1, len(runner.test_dataloader)))


def _loss(outputs: dict[str, Any] | None) -> float:
    return float((outputs or {})["loss"].detach())
