"""Person re-identification: a part-based head (PCB) on any backbone, the three data sets, the ranking.

Public face: :func:`run_reid`, :class:`ReidRecipe`, :class:`PCB`, :func:`evaluate`, :func:`load_reid_data`,
:func:`make_reid_sets`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid.datasets import load_reid_data
    from reid.draw import make_reid_sets
    from reid.outcome import ReidOutcome
    from reid.pcb import PCB
    from reid.ranking import evaluate
    from reid.recipe import ReidRecipe
    from reid.train import run_reid

# Resolved on first use: the command line's help must not pay for torch (PEP 562).
_HOME = {
    "PCB": "reid.pcb",
    "ReidOutcome": "reid.outcome",
    "ReidRecipe": "reid.recipe",
    "evaluate": "reid.ranking",
    "load_reid_data": "reid.datasets",
    "make_reid_sets": "reid.draw",
    "run_reid": "reid.train",
}

__all__ = ["PCB", "ReidOutcome", "ReidRecipe", "evaluate", "load_reid_data", "make_reid_sets", "run_reid"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'reid' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
