"""Everything a training run is at one moment, as one checkpoint: exact, so that a resumed run ends with the same bits.

No random states are in it: every draw is a function of (seed, epoch, step), see :mod:`nas.seeding`.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nas.checkpoint import load_checkpoint, save_checkpoint
from nas.errors import NaswildError
from nas.train_recipe import Execution

log = logging.getLogger(__name__)


def fingerprint(*parts: object) -> str:
    """A hash of what a checkpoint belongs to (recipe, seed, data version); another run's is refused."""
    return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=8).hexdigest()


@dataclass
class TrainState:
    """Weights, optimiser and position. ``step`` counts the finished steps of ``epoch``, both from 0.

    ``sums`` holds this epoch's training loss, correct predictions and images so far, in float64. ``average`` is the
    network of averaged weights (EMA), ``best`` the weights of the best epoch on held-out images, where the recipe asks
    for them. ``busy_seconds`` and ``images`` give the throughput of training alone. ``corrupt`` names the images that
    could not be decoded.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    identity: str
    average: nn.Module | None = None
    epoch: int = 0
    step: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    images: int = 0
    busy_seconds: float = 0.0
    scaler: dict[str, Any] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)

    def save(self, path: Path, keep: int) -> None:
        """Write the checkpoint and keep the last ``keep``."""
        plain = ("epoch", "step", "history", "best", "best_epoch", "images", "busy_seconds", "scaler", "identity")
        save_checkpoint(
            path,
            {name: getattr(self, name) for name in plain}
            | {
                "sums": self.sums.cpu(),
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict() if self.average is not None else None,
                "corrupt": sorted(self.corrupt),
            },
            keep,
        )

    def restore(self, path: Path) -> bool:
        """Continue from the checkpoint at ``path``; False if there is none."""
        saved = load_checkpoint(path)
        if saved is None:
            return False
        if saved.pop("identity") != self.identity:
            raise NaswildError(
                f"{path} is of a run with another recipe, seed, network, data or number of parts of a batch "
                "(processes x accumulate); delete it or choose another folder"
            )
        self.network.load_state_dict(saved.pop("network"))
        self.optimizer.load_state_dict(saved.pop("optimizer"))
        average = saved.pop("average")
        if self.average is not None:
            self.average.load_state_dict(average)
        self.corrupt.update(saved.pop("corrupt", ()))  # which older checkpoints lack
        self.sums = saved.pop("sums").to(self.sums.device)
        for name, value in saved.items():
            setattr(self, name, value)
        log.info("continuing at epoch %d, step %d", self.epoch + 1, self.step)
        return True

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the averaged weights by 1 - decay towards the current ones; buffers are copied."""
        if self.average is None:
            return
        current: list[Tensor] = list(self.network.parameters())
        mean: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(mean, current, 1 - decay)
        for target, source in zip(self.average.buffers(), self.network.buffers(), strict=True):
            target.copy_(source)

    def keep_best(self, score: float) -> None:
        """Remember the weights if ``score`` (on held-out images) is above that of every earlier epoch."""
        earlier = [record["holdout_top1"] for record in self.history]
        if not earlier or score > max(earlier):
            self.best = copy.deepcopy(self.scored.state_dict())
            self.best_epoch = self.epoch + 1

    @property
    def scored(self) -> nn.Module:
        """The network whose score counts: of averaged weights where there are any."""
        return self.average if self.average is not None else self.network

    def next_epoch(self, record: dict[str, float]) -> None:
        """Close the epoch with its history ``record``."""
        self.history.append(record)
        self.epoch += 1
        self.step = 0
        self.sums.zero_()


class Keeper:
    """Keeps a run's state at ``path``: continues from what is there, and writes it every ``checkpoint_seconds``.

    Made before Fabric wraps the model, so that what is restored is what is wrapped.
    """

    def __init__(self, fabric: Fabric, state: TrainState, path: Path, execution: Execution) -> None:
        self.fabric, self.state, self.path, self.execution = fabric, state, path, execution
        if state.restore(path) and state.scaler:
            fabric.strategy.precision.load_state_dict(state.scaler)
        self.last = time.perf_counter()

    def save_if_due(self, always: bool = False) -> None:
        """Write the checkpoint (process 0 does) if the last one is old, or ``always``."""
        if not always and time.perf_counter() - self.last < self.execution.checkpoint_seconds:
            return
        if self.fabric.is_global_zero:
            self.state.scaler = self.fabric.strategy.precision.state_dict()
            self.state.save(self.path, self.execution.checkpoints)
        self.last = time.perf_counter()
