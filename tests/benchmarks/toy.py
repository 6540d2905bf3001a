"""An extension for the harness's tests: two quick tasks and a data maker, registered the way a user's would be.

``toy-train`` counts to ``steps`` with a checkpoint after each, mixing the count into a number that depends on every
step; ``toy-score`` reads what it left. A resumed job that repeats or skips a step gives another number.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from benchmarks.datasets import register_maker
from benchmarks.items import Resampled
from benchmarks.tasks import Assignment, Outcome, Task, register_task
from nas.errors import NaswildError
from nas.files import atomic_write
from nas.progress import Progress


class ToyRecipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = 5
    sleep: float = 0.0
    fail: str = ""  # name of the backbone whose jobs raise; or "kill:JOB" for a job that is killed, once


def _misbehave(what: str, assignment: Assignment) -> None:
    mark = assignment.workdir / "died"
    if what == assignment.subject.name:
        raise NaswildError("told to fail")
    if what == f"kill:{assignment.job.rpartition('-')[0]}" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _count(assignment: Assignment, start: int) -> int:
    recipe: ToyRecipe = assignment.recipe
    checkpoint = assignment.workdir / "checkpoint.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "value": start}
    for step in range(state["step"], recipe.steps):
        if step == recipe.steps // 2:
            _misbehave(recipe.fail, assignment)
        time.sleep(recipe.sleep)
        state = {"step": step + 1, "value": (state["value"] * 31 + step + assignment.seed) % 9973}
        atomic_write(checkpoint, json.dumps(state).encode())
        assignment.report(Progress("toy", step + 1, recipe.steps, metrics={"loss": 1 / (step + 1)}))
    return state["value"]


class _Toy(Task):
    stage = "toy"
    recipe = "tests.benchmarks.toy:ToyRecipe"
    metrics: ClassVar[Mapping[str, bool]] = {"score": True}
    preload = ()
    seconds = 1.0

    def _outcome(self, value: int, **fields: Any) -> Outcome:
        metrics = {"score": self.metric("score", value / 9973, chance=0.0)}
        return Outcome(metrics=metrics, seconds=0.1, split="test", **fields)


@register_task
class ToyTrain(_Toy):
    name = "toy-train"
    gives = "weights"

    def run(self, assignment: Assignment) -> Outcome:
        value = _count(assignment, start=int((assignment.data.root / "number").read_text()))
        weights = assignment.run_dir / "weights" / f"{assignment.job}.txt"
        atomic_write(weights, str(value).encode())
        return self._outcome(value, artifacts={"weights": weights}, per_item={"score": [value / 9973] * 4})


@register_task
class ToyScore(_Toy):
    name = "toy-score"
    options: ClassVar[Mapping[str, type]] = {"parts": int}

    def run(self, assignment: Assignment) -> Outcome:
        start = int(Path(assignment.subject.source).read_text()) + int(assignment.options.get("parts", 1))
        value = _count(assignment, start)
        on_sets = Resampled(items=4, sets=1, values={"score": [value / 9973] * 8})
        return self._outcome(value, resampled=on_sets, details={"source": assignment.subject.source})


def make_number(out: Path, *, seed: int, offset: int = 0) -> None:
    (out / "number").write_text(str(seed + offset))


register_maker("toy-number", make_number, version=1, seconds=0.5)
