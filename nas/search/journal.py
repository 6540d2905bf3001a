"""The checkpoint of a search: finished stages and the current one, in one file of the work directory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nas.checkpoint import load_checkpoint, save_checkpoint
from nas.errors import NaswildError
from nas.search.outcome import StageOutcome
from nas.search.stage import Stage
from nas.search.team import Team

CHECKPOINT_FILE = "search.ckpt"


def require_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise :class:`NaswildError` unless what is at ``path`` has the identity that is ``wanted``."""
    different = [name for name, value in wanted.items() if found.get(name) != value]
    if different:
        raise NaswildError(
            f"{path} belongs to another search (its {', '.join(different)} differ); "
            "use another work directory, or delete the file to start again"
        )


class Journal:
    """Remembers how far a search has come. The first process of a team writes, all of them read.

    Args:
        workdir: Holds the checkpoint until the outcome is stored; made if missing.
        identity: What makes this search this one (method, recipe, seed, data, parts of a batch); another's checkpoint
            is refused.
        interval: Seconds between two checkpoints within a stage; 0 writes one after every step.
        team: The processes that share the search.
    """

    def __init__(self, workdir: Path, identity: dict[str, Any], interval: float, team: Team) -> None:
        self.path = workdir / CHECKPOINT_FILE
        self.identity, self.interval, self.team = identity, interval, team
        workdir.mkdir(parents=True, exist_ok=True)
        self.done: list[StageOutcome] = []
        self.under_way: dict[str, Any] | None = None
        self.attempts = 1
        self._last = time.monotonic()
        saved = load_checkpoint(self.path)
        if saved is not None:
            self._restore(saved)
        team.wait()  # no process writes before all have read

    def _restore(self, saved: dict[str, Any]) -> None:
        require_same(self.path, saved["identity"], self.identity)
        self.done = [StageOutcome.model_validate_json(text) for text in saved["done"]]
        self.under_way = saved["under_way"]
        self.attempts = saved["attempts"] + 1

    def resume(self, stage: Stage) -> None:
        """Restore ``stage`` from the checkpoint if it had been started."""
        if self.under_way is not None and self.under_way["index"] == stage.index:
            stage.load_state_dict(self.under_way)
        self.under_way = None

    def keep(self, stage: Stage) -> None:
        """Write a checkpoint of the current stage if the last one is older than the interval."""
        if self.team.leads and time.monotonic() - self._last >= self.interval:
            self._write(stage.state_dict())

    def finish(self, outcome: StageOutcome) -> None:
        """Record a finished stage."""
        self.done.append(outcome)
        if self.team.leads:
            self._write(None)

    def _write(self, under_way: dict[str, Any] | None) -> None:
        state = {
            "identity": self.identity,
            "done": [outcome.model_dump_json() for outcome in self.done],
            "under_way": under_way,
            "attempts": self.attempts,
        }
        save_checkpoint(self.path, state)
        self._last = time.monotonic()
