"""Random cells of the searched space under the same restriction: the baseline every search has to beat."""

from __future__ import annotations

import random
import time

from nas.errors import NaswildError
from nas.genotype import CellSpec, Edge, Genotype
from nas.operations import SEARCH_SPACE
from nas.search.derivation import INPUTS_PER_NODE
from nas.search.outcome import SearchOutcome
from nas.search.space import CONCAT
from nas.search.task import SearchTask
from nas.seeding import derive_seed

CHOICES = tuple(name for name in SEARCH_SPACE if name != "none")


def search_random(task: SearchTask) -> SearchOutcome:
    """The random cell of ``task.seed``, under the recipe's restriction on skip-connects; the proxy is not looked at."""
    start = time.perf_counter()
    genotype = random_genotype(task.seed, task.recipe.max_skips, task.recipe.exact_skips)
    return task.outcome(genotype, stages=[], seconds=time.perf_counter() - start)


def random_genotype(seed: int, max_skips: int | None = None, exact: bool = False) -> Genotype:
    """A uniform draw: two distinct inputs for each node, any operation but "none" on each edge.

    The normal cell has at most ``max_skips`` skip-connects (with ``exact``, exactly that many), like a searched cell
    after refinement; the reduction cell is free. The same seed gives the same cell on every machine.
    """
    edges = INPUTS_PER_NODE * len(CONCAT)
    if max_skips is not None and not 0 <= max_skips <= edges:
        raise NaswildError(f"max_skips must be 0 to {edges}, the edges of a cell; got {max_skips}")
    draw = random.Random(derive_seed(seed, "random cell"))
    normal = _random_operations(draw)
    while max_skips is not None and normal.count("skip_connect") > max_skips:
        normal = _random_operations(draw)
    if exact and max_skips is not None:
        normal = _with_skips(draw, max_skips)
    return Genotype(_wire(draw, normal), _wire(draw, _random_operations(draw)))


def _random_operations(draw: random.Random) -> list[str]:
    return [draw.choice(CHOICES) for _ in range(INPUTS_PER_NODE * len(CONCAT))]


def _with_skips(draw: random.Random, count: int) -> list[str]:
    """Uniform among the choices with exactly ``count`` skip-connects (drawing until one fits might never end)."""
    others = [name for name in CHOICES if name != "skip_connect"]
    edges = range(INPUTS_PER_NODE * len(CONCAT))
    skips = set(draw.sample(edges, count))
    return ["skip_connect" if index in skips else draw.choice(others) for index in edges]


def _wire(draw: random.Random, operations: list[str]) -> CellSpec:
    """A cell with ``operations`` on two random distinct inputs of each node."""
    remaining = iter(operations)
    nodes = (
        tuple(Edge(next(remaining), i) for i in sorted(draw.sample(range(node), INPUTS_PER_NODE))) for node in CONCAT
    )
    return CellSpec(tuple(nodes), CONCAT)
