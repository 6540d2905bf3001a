"""What a long-running loop tells whoever is watching: one small value per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """Where a loop stands: ``epoch`` and ``step`` count what is finished, ``metrics`` are the latest values (loss)."""

    stage: str
    epoch: int
    epochs: int
    step: int = 0
    steps: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """Part of the loop that is done, 0 to 1, counting the steps of the epoch under way."""
        within = self.step / self.steps if self.steps else 0.0
        return min(1.0, (self.epoch + within) / max(self.epochs, 1))


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The reporter of a loop that nobody watches."""
