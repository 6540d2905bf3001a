"""Search for a cell on a proxy: P-DARTS and other methods over one loop.

Public face: :func:`search`, :class:`SearchRecipe`, :func:`derive`, :func:`random_genotype`, :func:`register_method`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.search.derivation import alternatives, derive, prune
    from nas.search.execution import SearchExecution
    from nas.search.launch import search_in_processes
    from nas.search.methods import Method, method_names, register_method, search
    from nas.search.outcome import SearchOutcome, StageOutcome
    from nas.search.published import default_recipe
    from nas.search.random import random_genotype
    from nas.search.recipe import SearchRecipe

_HOME = {
    "Method": "methods",
    "SearchExecution": "execution",
    "SearchOutcome": "outcome",
    "SearchRecipe": "recipe",
    "StageOutcome": "outcome",
    "alternatives": "derivation",
    "default_recipe": "published",
    "derive": "derivation",
    "method_names": "methods",
    "prune": "derivation",
    "random_genotype": "random",
    "register_method": "methods",
    "search": "methods",
    "search_in_processes": "launch",
}

__all__ = [
    "Method",
    "SearchExecution",
    "SearchOutcome",
    "SearchRecipe",
    "StageOutcome",
    "alternatives",
    "default_recipe",
    "derive",
    "method_names",
    "prune",
    "random_genotype",
    "register_method",
    "search",
    "search_in_processes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nas.search' has no attribute {name!r}")
    return getattr(import_module(f"nas.search.{_HOME[name]}"), name)
