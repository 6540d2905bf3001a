"""A backbone that trains in a second, and detection runs with it in processes of their own.

The processes are spawned: a forked copy of a test process would lack the threads that earlier tests have started.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detection.data import CocoData
from detection.recipe import DetectRecipe
from nas.progress import Progress


class TinyBackbone(nn.Module):
    """Three strided convolutions with batch normalisation and dropout: levels at strides 8, 16, 32."""

    channels = (8, 12, 16)
    strides = (8, 16, 32)
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, **_: Any) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Dropout(0.2))
        self.last = nn.Sequential(nn.Conv2d(12, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.stem(x)
        second = self.middle(first)
        return [first, second, self.last(second)]


def tiny_config(*_: Any, **__: Any) -> dict[str, str]:
    """What stands in the place of ``detection.train.backbone_config``, whatever backbone is asked for."""
    return {"type": "TinyBackbone"}


def register() -> None:
    """Make mmdet's registry know :class:`TinyBackbone`."""
    from mmdet.registry import MODELS

    from backbones.mmdet_import import prepare

    prepare()
    if MODELS.get("TinyBackbone") is None:
        MODELS.register_module(module=TinyBackbone)


def start_run(
    data: CocoData,
    recipe: DetectRecipe,
    workdir: Path,
    *,
    seed: int,
    kill_at: tuple[int, int] | None = None,
    environment: Mapping[str, str] | None = None,
    answer: Path | None = None,
) -> BaseProcess:
    """Start a run in a new process; it kills itself at ``kill_at`` (epoch, step) or writes its ``answer`` as JSON."""
    arguments = (data, recipe, workdir, seed, kill_at, dict(environment or {}), answer)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=arguments)
    process.start()
    return process


def _run(
    data: CocoData,
    recipe: DetectRecipe,
    workdir: Path,
    seed: int,
    kill_at: tuple[int, int] | None,
    environment: dict[str, str],
    answer: Path | None,
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    register()
    import detection.train

    detection.train.backbone_config = tiny_config
    steps: list[int] = []

    def report(progress: Progress) -> None:
        steps.append(progress.steps)
        if (progress.epoch, progress.step) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    outcome = detection.train.run_detection("tiny", data, recipe, seed=seed, workdir=workdir, report=report)
    if answer is not None:
        known = {name: getattr(outcome, name) for name in ("metrics", "history", "device", "attempts")}
        answer.write_text(json.dumps(known | {"steps": steps[0]}))
