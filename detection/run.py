"""One run of mmengine's Runner on one config: open it, train it (or resume), score it, save the detector."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from mmengine.config import Config
from torch import Tensor, nn

from backbones.mmdet_import import prepare
from detection.coco_eval import CocoScores
from detection.guard import require_batches
from detection.hooks import InferenceClock, ReportProgress, ResumePoint
from nas.counting import Count, count
from nas.files import atomic_write
from nas.progress import Report

prepare()

from detection import mmdet_models  # noqa: E402, F401  (fills the registries)
from detection.body import normalisation  # noqa: E402
from detection.runner import QuietRunner  # noqa: E402


def join_processes() -> int:
    """Join the group that ``torchrun`` started, if it did; the number of processes.

    The group is made here because mmengine's own start-up asks for a GPU: on CPU gloo connects the processes.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size > 1 and not torch.distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return world_size


def is_main() -> bool:
    """Whether this process is the one that writes files."""
    return int(os.environ.get("RANK", "0")) == 0


class DetectionRun:
    """A runner, where it resumes, and what was measured on the way."""

    def __init__(
        self, config: Config, resume_point: Path, identity: str, report: Report, beat: Callable[[], None]
    ) -> None:
        config.experiment_name = f"detect-{time.time_ns()}"  # mmengine keeps loggers by name for the process's life
        self.runner: QuietRunner = QuietRunner.from_cfg(config)
        self.point = ResumePoint(resume_point, identity)
        self.inference = InferenceClock()
        self.runner.resume_point = self.point
        for hook in (self.point, self.inference, ReportProgress(report, beat)):
            self.runner.register_hook(hook)
        self._log_model()

    @property
    def model(self) -> nn.Module:
        """The detector without its data-parallel wrapper."""
        model = self.runner.model
        return model.module if self.runner.distributed else model

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def build_loaders(self) -> None:
        """Build both data sets now rather than in :meth:`train`; raises if no batch of images with boxes is whole."""
        require_batches(self.runner.train_dataloader, self.runner.world_size)
        assert self.runner.val_loop is not None

    def train(self) -> None:
        """Train from the resume point, or from the start, to the last epoch.

        Raises:
            NaswildError: training diverged.
        """
        self.runner.train()

    def score(self) -> tuple[CocoScores, np.ndarray]:
        """Scores on the validation part and the detections (N, 7) behind them (empty but on the main process)."""
        self.inference.reset()
        self.runner.val_loop.run()
        metric = self.runner.val_loop.evaluator.metrics[0]
        found = [metric.scores.get("bbox")]
        if self.runner.distributed:
            torch.distributed.broadcast_object_list(found, src=0)
        assert found[0] is not None
        return found[0], metric.detections

    def count(self, input_size: tuple[int, int, int]) -> tuple[Count, Count, Count]:
        """Parameters and multiply-adds for one image: of the backbone, of it as the paper counts, of the detector."""
        backbone: Any = self.model.backbone
        paper = count(backbone, input_size, convention="paper")
        return count(backbone, input_size), paper, count(_Raw(self.model), input_size)

    def save_detector(self, path: Path) -> None:
        """Weights and classes in mmengine's format, as mmdet's ``init_detector(config, weights)`` reads it."""
        metainfo = self.runner.train_dataloader.dataset.metainfo
        state = {
            "meta": {"dataset_meta": {"classes": list(metainfo["classes"])}},
            "state_dict": self.model.state_dict(),
        }
        self.runner.call_hook("before_save_checkpoint", checkpoint=state)  # with EMA: the averaged weights
        buffer = io.BytesIO()
        torch.save({"meta": state["meta"], "state_dict": state["state_dict"]}, buffer)
        atomic_write(path, buffer.getvalue())

    def save_config(self, path: Path, backbone: dict[str, Any]) -> None:
        """The config that builds the detector again, with the untrained ``backbone``: no other weights file is read."""
        config = self.runner.cfg.to_dict()
        config["model"] |= {"backbone": backbone, "data_preprocessor": normalisation(self.model.backbone)}
        atomic_write(path, json.dumps(config, indent=1).encode())

    def _log_model(self) -> None:
        report = getattr(self.model.backbone, "load_report", None)
        log = self.runner.logger.info
        log(f"backbone weights: {report}" if report else "backbone weights: none, trained from random weights")
        log(f"levels and anchors: {getattr(self.model, 'plan', None)}")


class _Raw(nn.Module):
    """The detector's network alone, from an image tensor to scores and offsets."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> Any:
        return self.detector(image, mode="tensor")
