"""One stage of a search: its supernet, its architecture weights, their optimisers, and how far it has come."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nas.errors import NaswildError
from nas.search.architecture import ArchitectureWeights
from nas.search.cost import CostMeter
from nas.search.outcome import EpochRecord
from nas.search.recipe import SearchRecipe
from nas.search.space import OperationSets
from nas.search.supernet import Supernet
from nas.seeding import seed_all

# Sums over the steps of an epoch: loss, correct answers and steps, for the weights and for the alphas.
TALLY = ("train_loss", "train_correct", "train_steps", "alphas_loss", "alphas_correct", "alphas_steps")


class Stage:
    """Everything that changes while a stage runs, made anew from the seed and restored from a checkpoint.

    Args:
        index: Number of the stage, from 0; selects the per-stage values of the recipe.
        operations: The operations that compete.
        recipe: All hyper-parameters.
        num_classes: Classes of the proxy.
        seed: The search's seed.
        device: Where it computes.
    """

    def __init__(
        self,
        index: int,
        operations: OperationSets,
        recipe: SearchRecipe,
        num_classes: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.index, self.operations, self.recipe, self.seed, self.device = index, operations, recipe, seed, device
        seed_all(seed, "stage", index)
        supernet = Supernet(operations, recipe.channels[index], recipe.cells[index], num_classes, recipe)
        self.supernet = supernet.to(device)
        self.architecture = ArchitectureWeights(operations, recipe.alphas_std, recipe.edge_normalisation).to(device)
        self.weights_optimizer = torch.optim.SGD(
            self.supernet.parameters(), recipe.weights_lr, recipe.weights_momentum, weight_decay=recipe.weights_decay
        )
        self.alphas_optimizer = torch.optim.Adam(
            self.architecture.parameters(), recipe.alphas_lr, recipe.alphas_betas, weight_decay=recipe.alphas_decay
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
        self.epoch = self.step = 0
        self.trajectory: list[EpochRecord] = []
        self.tally = torch.zeros(len(TALLY), dtype=torch.float64, device=device)
        self.meter = CostMeter(device)

    @property
    def temperature(self) -> float:
        """Of the Gumbel softmax in the current epoch."""
        return self.recipe.gumbel_temperature(self.epoch)

    def begin_epoch(self) -> None:
        """Set what depends on the epoch alone: learning rate and dropout."""
        for group in self.weights_optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(self.epoch)
        self.supernet.set_skip_dropout(self.recipe.dropout_rate(self.index, self.epoch))

    def count(self, kind: str, loss: Tensor, correct: Tensor) -> None:
        """Add one step's result to the epoch's sums; ``kind`` is "train" or "alphas"."""
        first = TALLY.index(f"{kind}_loss")
        self.tally[first] += loss
        self.tally[first + 1] += correct
        self.tally[first + 2] += 1

    def means(self) -> dict[str, float]:
        """Mean losses and accuracies of the epoch so far, of what it measured.

        Raises :class:`NaswildError` once a loss is not finite.
        """
        sums = dict(zip(TALLY, self.tally.tolist()))
        means = {}
        for kind in ("train", "alphas"):
            steps = sums[f"{kind}_steps"]
            if steps:
                means[f"{kind}_loss"] = sums[f"{kind}_loss"] / steps
                means[f"{kind}_accuracy"] = sums[f"{kind}_correct"] / (steps * self.recipe.batch_size)
        if not torch.isfinite(self.tally).all():
            raise NaswildError(
                f"the search diverged in stage {self.index + 1}, epoch {self.epoch + 1}: a loss is not finite; "
                "lower weights_lr, or use float32 in the search protocol"
            )
        return means

    def end_epoch(self, record: EpochRecord) -> None:
        """Keep the epoch's record and go to the next."""
        self.trajectory.append(record)
        self.tally.zero_()
        self.epoch, self.step = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed stage needs, as tensors and plain values; no generator states (:mod:`nas.seeding`)."""
        return {
            "index": self.index,
            "supernet": self.supernet.state_dict(),
            "architecture": self.architecture.state_dict(),
            "weights_optimizer": self.weights_optimizer.state_dict(),
            "alphas_optimizer": self.alphas_optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "trajectory": [record.model_dump() for record in self.trajectory],
            "tally": self.tally,
            "seconds": self.meter.seconds,
            "peak": self.meter.peak_memory or 0,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        for name in ("supernet", "architecture", "weights_optimizer", "alphas_optimizer", "scaler"):
            getattr(self, name).load_state_dict(state[name])
        self.epoch, self.step = state["epoch"], state["step"]
        self.trajectory = [EpochRecord.model_validate(record) for record in state["trajectory"]]
        self.tally.copy_(state["tally"])
        self.meter = CostMeter(self.device, state["seconds"], state["peak"])
