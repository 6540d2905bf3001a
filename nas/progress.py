"""Progress of a long-running loop: one small value per step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """Position of a loop: ``epoch`` and ``step`` count what is finished, ``metrics`` are the latest values (loss)."""

    stage: str
    epoch: int
    epochs: int
    step: int = 0
    steps: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        """Completed fraction of the loop, 0 to 1, including the steps of the current epoch."""
        within = self.step / self.steps if self.steps else 0.0
        return min(1.0, (self.epoch + within) / max(self.epochs, 1))


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report nothing."""
