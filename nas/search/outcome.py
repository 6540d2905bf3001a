"""What a search leaves: genotypes, the trajectory of every stage, its cost; plain data that goes to JSON and back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, InstanceOf, PlainSerializer

from nas.files import atomic_write
from nas.genotype import Genotype
from nas.search.space import CELLS, EDGES, OperationSets

GenotypeField = Annotated[InstanceOf[Genotype], BeforeValidator(Genotype.load), PlainSerializer(Genotype.to_dict)]
# A derived cell that is mostly skip-connects has collapsed: more than half of its eight edges. So has a cell where
# "none" is the strongest operation on more than half of the fourteen edges: its derivation rests on the weaker ones.
COLLAPSE = 5
COLLAPSE_NONE = 8


class EpochRecord(BaseModel):
    """One epoch of a stage. Losses are means over the epoch, accuracies fractions; None where nothing was measured.

    ``top_operations`` counts, per cell, how many of the 14 edges each operation leads; ``skips`` is the number of
    skip-connects of the unrestricted normal cell that the epoch's alphas describe. ``alpha_gradients`` is the mean
    absolute gradient of the alphas of each operation, over edges, both cells and the epoch's steps: how hard
    skip-connects are pulled compared to convolutions. ``validation_accuracy`` is that of the softmax mixture, or of the
    strongest operation of every edge, alone, for methods that sample: see ``validation_of``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    alphas: dict[str, list[list[float]]]
    top_operations: dict[str, dict[str, int]]
    skips: int
    dropout: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    alphas_loss: float | None = None
    alphas_accuracy: float | None = None
    validation_accuracy: float | None = None
    validation_of: Literal["mixture", "strongest"] = "mixture"
    alpha_gradients: dict[str, float] | None = None


class StageOutcome(BaseModel):
    """One stage: what competed, what it found, how it went, what it cost.

    ``alternatives`` maps M to the genotype with at most M skip-connects in the normal cell. ``survivors`` counts, per
    cell, the edges whose leading operation was already leading at the end of the stage before (None in the first).
    ``kernels`` says what computed the separable convolutions, and why if it is the slow way.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: int
    cells: int
    channels: int
    operations: dict[str, tuple[tuple[str, ...], ...]]
    alphas: dict[str, list[list[float]]]
    edge_weights: dict[str, list[float]] | None
    genotype: GenotypeField
    alternatives: dict[int, GenotypeField]
    survivors: dict[str, int] | None
    trajectory: list[EpochRecord]
    seconds: float
    peak_memory_bytes: int | None
    parameters: int
    kernels: str | None = None


class SearchOutcome(BaseModel):
    """A finished search. ``collapse`` says in words that the search ran into skip-connects or "none", else None.

    ``macs`` are the multiply-adds of the ImageNet network (48 channels, 14 cells, 224 px) of ``genotype``;
    ``within_budget`` compares them to the recipe's ``max_macs``. ``parts`` is into how many parts each batch was
    divided (:mod:`nas.search.execution`), ``protocol_hash`` that of the protocol the recipe came from, if it came from
    one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    genotype: GenotypeField
    stages: list[StageOutcome]
    collapse: str | None
    parameters: int
    macs: int
    within_budget: bool | None
    seed: int
    recipe: dict[str, Any]
    proxy: str
    proxy_version: str
    image_size: int
    classes: list[str]
    device: str
    attempts: int
    seconds: float
    peak_memory_bytes: int | None
    parts: int = 1
    protocol_hash: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two searches the same; compare :attr:`nas.search.task.SearchTask.identity`."""
        return {
            "method": self.method,
            "recipe": self.recipe,
            "seed": self.seed,
            "data": f"{self.proxy} {self.proxy_version} {self.image_size}",
            "parts": self.parts,
        }

    def save(self, path: str | Path) -> None:
        """Write JSON, atomically."""
        atomic_write(path, (json.dumps(self.model_dump(mode="json"), indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> SearchOutcome:
        """Read what :meth:`save` wrote."""
        return cls.model_validate_json(Path(path).read_text(encoding="utf-8"))


def leading_operations(operations: OperationSets, alphas: dict[str, list[list[float]]]) -> dict[str, list[str]]:
    """The operation with the largest weight on each edge of each cell, "none" included."""
    return {
        cell: [names[max(range(len(row)), key=row.__getitem__)] for names, row in zip(operations[cell], alphas[cell])]
        for cell in CELLS
    }


def count_operations(leading: dict[str, list[str]]) -> dict[str, dict[str, int]]:
    """How many edges each operation leads, per cell."""
    return {cell: dict(sorted(Counter(names).items())) for cell, names in leading.items()}


def mean_by_operation(operations: OperationSets, values: dict[str, list[list[float]]]) -> dict[str, float]:
    """Mean of ``values``, one per cell, edge and operation, for each operation, over all edges that have it."""
    found: dict[str, list[float]] = {}
    for cell in CELLS:
        for names, row in zip(operations[cell], values[cell]):
            for name, value in zip(names, row):
                found.setdefault(name, []).append(value)
    return {name: sum(row) / len(row) for name, row in sorted(found.items())}


def count_survivors(earlier: StageOutcome, leading: dict[str, list[str]]) -> dict[str, int]:
    """Edges that are led by the operation that led them after the ``earlier`` stage (5.3 to 6.7 of 14 in the paper)."""
    before = leading_operations(earlier.operations, earlier.alphas)
    return {cell: sum(a == b for a, b in zip(before[cell], leading[cell])) for cell in CELLS}


def describe_collapse(stages: list[StageOutcome]) -> str | None:
    """Words for the collapse into skip-connects or into "none", judged on the last stage's normal cell.

    Skip-connects are those of the cell before refinement; "none" counts where it has the largest alpha of an edge.
    """
    last = stages[-1].trajectory[-1]
    nones, sentences = last.top_operations["normal"].get("none", 0), []
    if last.skips >= COLLAPSE:
        sentences.append(
            f"{last.skips} of 8 edges of the unrestricted normal cell are skip-connects: the search has collapsed; "
            "raise skip_dropout, lower max_skips or use fewer epochs"
        )
    if nones >= COLLAPSE_NONE:
        sentences.append(
            f"none is the strongest operation on {nones} of {len(EDGES)} edges of the normal cell: the cell is derived "
            "from weaker ones; lower alphas_lr or raise warmup_epochs"
        )
    return ". ".join(sentences) or None
