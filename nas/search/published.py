"""The recipe that each method was published with, and the settings that make it that method. Needs no torch.

A protocol, a suite or a program says what differs; everything it leaves out is the method's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from nas.errors import NaswildError, unknown
from nas.search.recipe import SearchRecipe

# DARTS, section 3.1: 8 cells, 16 channels, batch 64, no warm-up, Adam with rate 3e-4; SNAS and GDAS follow it.
_ONE_STAGE: dict[str, Any] = {
    "cells": (8,),
    "operations": (8,),
    "channels": (16,),
    "skip_dropout": (0.0,),
    "warmup_epochs": 0,
    "batch_size": 64,
    "alphas_lr": 3e-4,
    "max_skips": None,
}
_DARTS = SearchRecipe(**_ONE_STAGE, epochs=50)
# PC-DARTS, section 4.2: K = 4 lets the batch grow to 256, with a learning rate of 0.1; 15 of 50 epochs warm up.
_PCDARTS = SearchRecipe(
    **_ONE_STAGE
    | {"epochs": 50, "warmup_epochs": 15, "batch_size": 256, "weights_lr": 0.1, "alphas_lr": 6e-4}
    | {"partial": 4, "edge_normalisation": True}
)
# SNAS: 150 epochs. The paper prints neither temperatures nor the strength of its constraint: the README of its authors'
# code has these (temperature 1 to 0.03, strength 1e-2, which is "moderate" here).
_SNAS = SearchRecipe(**_ONE_STAGE, epochs=150, temperature=(1.0, 0.03), resources="moderate")
# GDAS: 6 cells (two normal, then a reduction cell and a normal one, twice), temperature 10 to 0.1, rate down to 0.001;
# 250 epochs are those of its authors' code.
_GDAS = SearchRecipe(**_ONE_STAGE | {"cells": (6,), "epochs": 250, "weights_lr_end": 1e-3, "temperature": (10.0, 0.1)})

_BUILT_IN = {
    "pdarts": SearchRecipe(),
    "darts": _DARTS,
    "darts2": _DARTS,
    "pcdarts": _PCDARTS,
    "snas": _SNAS,
    "gdas": _GDAS,
    "random": SearchRecipe(),
}
_REGISTERED: dict[str, SearchRecipe] = {}


def add_recipe(method: str, recipe: SearchRecipe) -> None:
    """Make the recipe of a registered ``method`` known."""
    _REGISTERED[method] = recipe


def published_recipe(method: str) -> SearchRecipe:
    """The recipe of ``method``; raises ``UnknownName`` with near matches."""
    recipes = _REGISTERED | _BUILT_IN
    if method not in recipes:
        raise unknown("search method", method, recipes)
    return recipes[method]


def default_recipe(method: str, **changes: Any) -> SearchRecipe:
    """The published recipe of ``method`` with some fields changed; :class:`NaswildError` names a wrong one."""
    values = published_recipe(method).model_dump() | changes
    try:
        return SearchRecipe(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors())
        raise NaswildError(f"search recipe for {method}: {problems}") from error


def complete(method: str, recipe: SearchRecipe | None) -> SearchRecipe:
    """The recipe of ``method`` with those fields changed that ``recipe`` was given, not those it has by default."""
    given = {} if recipe is None else {name: getattr(recipe, name) for name in recipe.model_fields_set}
    return default_recipe(method, **given)


def require_method(method: str, recipe: SearchRecipe) -> None:
    """Raise :class:`NaswildError` if ``recipe`` turns off what ``method`` is named for, or makes it another method."""
    if method not in _BUILT_IN or method == "random":
        return
    for problem in _problems(method, recipe):
        raise NaswildError(f"{method} {problem}; change that, or choose the method that the recipe describes")


def _problems(method: str, recipe: SearchRecipe) -> Iterator[str]:
    if method == "pdarts" and recipe.stages < 2:
        yield f"searches in several stages; this recipe has one (cells: {list(recipe.cells)})"
    if method != "pdarts" and recipe.stages != 1:
        yield f"searches in one stage; this recipe has {recipe.stages} (cells: {list(recipe.cells)})"
    if method == "pcdarts" and recipe.partial < 2:
        yield f"passes a part of the channels through the operations; partial is {recipe.partial} here, all of them"
    if method == "pcdarts" and not recipe.edge_normalisation:
        yield "gives edges weights of their own; edge_normalisation is false here"
    if method != "pcdarts" and recipe.partial > 1:
        yield f"passes all channels through the operations; partial is {recipe.partial} here, which is PC-DARTS"
    if method != "pcdarts" and recipe.edge_normalisation:
        yield "gives edges no weights of their own; edge_normalisation is true here, which is PC-DARTS"
    if method != "snas" and recipe.resources != "free":
        yield f"does not count the cost of an architecture; resources is {recipe.resources} here, which is SNAS"
    if method == "gdas" and recipe.exact_skips:
        yield "takes two operations of one input where they are best; exact_skips asks for others in their place"
