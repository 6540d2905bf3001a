"""How the machine carries a search out: devices, processes, memory. Kept apart from the recipe, which makes results."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class SearchExecution(BaseModel):
    """Nothing here changes what is computed, beyond the rounding of sums; the one exception is ``accumulate``.

    A batch is divided into processes x ``accumulate`` parts of equal size, and batch normalisation looks at one part at
    a time. So what counts is the number of parts: two processes give the result of one that accumulates two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU where there is one
    accumulate: PositiveInt = 1  # parts of each process's batch that are computed one after the other
    # On a GPU each step is captured once as a CUDA graph and replayed (nas.search.capture).
    capture: bool = True
    workers: int = Field(default=4, ge=0)  # processes that decode images of sets too large for memory
    checkpoint_seconds: float = Field(default=10.0, ge=0)  # between two checkpoints; 0: after every step
