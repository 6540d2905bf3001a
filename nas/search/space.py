"""The space a search explores: the fourteen edges of a cell and the operations that compete on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nas.errors import NaswildError
from nas.genotype import INPUTS
from nas.operations import SEARCH_SPACE

NODES = 4  # intermediate nodes of a searched cell (section 5.1.1: seven nodes, two of them inputs, one the output)
CONCAT = tuple(range(INPUTS, INPUTS + NODES))
CELLS = ("normal", "reduce")


class Connection(NamedTuple):
    """A possible edge: from state ``input`` to state ``node`` (0 and 1 are the cell's inputs)."""

    input: int
    node: int


# DARTS' order, in which architecture weights are stored: by node, then by input.
EDGES = tuple(Connection(i, node) for node in CONCAT for i in range(node))

# The competing operations: for each kind of cell ("normal", "reduce") one tuple of names per edge.
OperationSets = Mapping[str, Sequence[Sequence[str]]]


def full_space() -> dict[str, tuple[tuple[str, ...], ...]]:
    """All eight operations on every edge of both cells: where a search starts."""
    return {cell: (SEARCH_SPACE,) * len(EDGES) for cell in CELLS}


def edges_into(node: int) -> list[int]:
    """Indices of the edges that end in ``node``."""
    return [index for index, edge in enumerate(EDGES) if edge.node == node]


def edges_out_of(state: int) -> list[int]:
    """Indices of the edges that leave ``state``."""
    return [index for index, edge in enumerate(EDGES) if edge.input == state]


def check_operations(operations: OperationSets) -> None:
    """Raise :class:`NaswildError` unless every edge of both cells has known operations, each named once."""
    for cell in CELLS:
        sets = operations.get(cell)
        if sets is None or len(sets) != len(EDGES):
            found = "none" if sets is None else str(len(sets))
            raise NaswildError(
                f"{cell} cell: expected one list of operations for each of {len(EDGES)} edges, found {found}"
            )
        for index, names in enumerate(sets):
            if not names or len(set(names)) != len(names) or not set(names) <= set(SEARCH_SPACE):
                raise NaswildError(
                    f"{cell} cell, edge {index}: {list(names)} is not a choice from {', '.join(SEARCH_SPACE)}"
                )
