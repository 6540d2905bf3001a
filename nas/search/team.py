"""The processes that share a search, seen from one of them; a team of one unless others were started.

Every process holds the whole state of the search and, after each step, the same one to the last bit: gradients are
summed and running statistics averaged over the team in one message. So any process could write the checkpoint
(the first does), and all come to the same genotype.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from nas.search.execution import SearchExecution

Value = TypeVar("Value")


@dataclass(frozen=True)
class Team:
    """Process ``rank`` of ``size``; each computes ``accumulate`` of the parts that a batch is divided into."""

    device: torch.device
    rank: int = 0
    size: int = 1
    accumulate: int = 1

    @classmethod
    def connect(cls, execution: SearchExecution) -> Team:
        """This process on its device, joined with those that ``torchrun`` started beside it."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from nas.parallel import connect
            from nas.train_recipe import Execution

            fabric = connect(Execution(accelerator=execution.accelerator), "32-true")
            return cls(fabric.device, fabric.global_rank, fabric.world_size, execution.accumulate)
        kind = execution.accelerator
        if kind == "auto":
            kind = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(torch.device(kind), accumulate=execution.accumulate)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    @property
    def parts(self) -> int:
        """Into how many parts a batch is divided."""
        return self.size * self.accumulate

    @property
    def mine(self) -> range:
        """The parts that this process computes."""
        return range(self.rank, self.parts, self.size)

    def add_up(self, sums: Sequence[Tensor], means: Sequence[Tensor] = ()) -> None:
        """Replace float32 tensors, in place, by their sum or mean over the team; one message carries them all."""
        if self.size == 1:
            return
        own = [*sums, *means]
        flat = torch.cat([tensor.reshape(-1) for tensor in own])
        distributed.all_reduce(flat)
        received = [part.view_as(tensor) for part, tensor in zip(flat.split([t.numel() for t in own]), own)]
        if means:
            torch._foreach_div_(received[len(sums) :], self.size)
        torch._foreach_copy_(own, received)

    def total(self, value: int) -> int:
        """The sum of a whole number over the team."""
        return sum(self._gather(value))

    def largest(self, value: int | None) -> int | None:
        """The largest of the processes' values; None if no process has one."""
        return max((other for other in self._gather(value) if other is not None), default=None)

    def share(self, value: Value) -> Value:
        """The first process's ``value``, in every process."""
        return self._gather(value)[0]

    def wait(self) -> None:
        """Go on when all are here."""
        self._gather(None)

    def _gather(self, value: Any) -> list[Any]:
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        distributed.all_gather_object(gathered, value)
        return gathered
