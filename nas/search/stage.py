"""One stage of a search: its supernet, its architecture weights, their optimisers, and how far it has come."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from nas.errors import NaswildError
from nas.search.architecture import ArchitectureWeights
from nas.search.cost import CostMeter
from nas.search.outcome import EpochRecord, mean_by_operation
from nas.search.recipe import SearchRecipe
from nas.search.space import CELLS, OperationSets
from nas.search.supernet import Supernet
from nas.seeding import generator, seed_all

# Rows of the tally, sums over an epoch's images: (loss, correct answers, images).
TALLY = ("train", "alphas")


class Stage:
    """Everything that changes while a stage runs, created from the seed and restored from a checkpoint.

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
        self.index, self.operations, self.recipe, self.device = index, operations, recipe, device
        self.seed_number = seed
        seed_all(seed, "stage", index)
        supernet = Supernet(operations, recipe.channels[index], recipe.cells[index], num_classes, recipe)
        self.supernet = supernet.to(device)
        self.architecture = ArchitectureWeights(operations, recipe.alphas_std, recipe.edge_normalisation).to(device)
        # Fused on a GPU: there a step that skips infinite gradients (float16) need not wait for the device.
        fused = True if device.type == "cuda" else None
        self.weights_optimizer = torch.optim.SGD(
            self.supernet.parameters(),
            recipe.weights_lr,
            recipe.weights_momentum,
            weight_decay=recipe.weights_decay,
            fused=fused,
        )
        self.alphas_optimizer = torch.optim.Adam(
            self.architecture.parameters(),
            recipe.alphas_lr,
            recipe.alphas_betas,
            weight_decay=recipe.alphas_decay,
            fused=fused,
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
        self.epoch = self.step = 0
        self.trajectory: list[EpochRecord] = []
        self.tally = torch.zeros(len(TALLY), 3, dtype=torch.float64, device=device)
        # Per cell the sum over an epoch's steps of the absolute gradients of the alphas, (14, k).
        self.gradient_sums = {
            cell: torch.zeros_like(alphas, dtype=torch.float64, requires_grad=False)
            for cell, alphas in self.architecture.alphas.items()
        }
        self.meter = CostMeter(device)

    @property
    def temperature(self) -> float:
        """Of the Gumbel softmax in the current epoch."""
        return self.recipe.gumbel_temperature(self.epoch)

    @property
    def dropout(self) -> float:
        """Rate after skip-connects in the current epoch."""
        return self.recipe.dropout_rate(self.index, self.epoch)

    def seed(self, kind: str, part: int) -> None:
        """Seed everything that one part of the current step draws; the same in every process."""
        seed_all(self.seed_number, "step", self.index, self.epoch, self.step, kind, part)

    def generator(self, *path: str) -> torch.Generator:
        """For draws that are the same for all parts of the current step."""
        return generator(self.seed_number, *path, self.index, self.epoch, self.step)

    def begin_epoch(self) -> None:
        """Set what depends on the epoch alone: learning rate and dropout."""
        for group in self.weights_optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(self.epoch)
        self.supernet.set_skip_dropout(self.dropout)

    def count(self, kind: Literal["train", "alphas"], figures: Tensor) -> None:
        """Add a batch's (summed loss, correct answers, images) to the epoch's sums."""
        self.tally[TALLY.index(kind)] += figures

    def note_gradients(self) -> None:
        """Add the size of the alphas' gradients to the epoch's sums. A step that float16 skips counts as zero."""
        for cell in CELLS:
            gradient = self.architecture.alphas[cell].grad
            if gradient is not None:
                self.gradient_sums[cell] += gradient.abs().nan_to_num(0.0, 0.0, 0.0)

    def alpha_gradients(self) -> dict[str, float]:
        """Mean absolute gradient of the alphas of each operation in the epoch so far, over edges, cells and steps."""
        sums = {cell: values.tolist() for cell, values in self.gradient_sums.items()}
        means = mean_by_operation(self.operations, sums)
        return {name: value / max(self.step, 1) for name, value in means.items()}

    def means(self) -> dict[str, float]:
        """Mean losses and accuracies of the epoch so far, of what it measured; waits for the device.

        Raises :class:`NaswildError` once a loss is not finite.
        """
        means: dict[str, float] = {}
        for kind, (loss, correct, images) in zip(TALLY, self.tally.tolist()):
            if not math.isfinite(loss):
                raise NaswildError(
                    f"the search diverged in stage {self.index + 1}, epoch {self.epoch + 1}: a loss is not finite; "
                    "lower weights_lr, or use float32 in the search protocol"
                )
            if images:
                means |= {f"{kind}_loss": loss / images, f"{kind}_accuracy": correct / images}
        return means

    def end_epoch(self, record: EpochRecord) -> None:
        """Keep the epoch's record and go to the next."""
        self.trajectory.append(record)
        self.tally.zero_()
        for sums in self.gradient_sums.values():
            sums.zero_()
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
            "gradient_sums": self.gradient_sums,
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
        for cell, sums in self.gradient_sums.items():
            sums.copy_(state["gradient_sums"][cell])
        self.meter = CostMeter(self.device, state["seconds"], state["peak"])
