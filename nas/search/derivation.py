"""From architecture weights to a genotype: pruning between stages, the DARTS rule, architecture refinement.

Everything is computed in double precision on plain numbers, so that a genotype never depends on a device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nas.errors import NaswildError
from nas.genotype import CellSpec, Edge, Genotype
from nas.search.space import CELLS, CONCAT, EDGES, Connection, OperationSets, check_operations, edges_into

Refinement = Literal["at_once", "one_by_one"]
INPUTS_PER_NODE = 2

# What a node keeps. "darts": its two strongest inputs, each with its strongest operation other than "none". "snas": the
# same, but "none" may win. "gdas": the two strongest pairs of input and operation, which may share the input.
Rule = Literal["darts", "snas", "gdas"]

# One mapping per edge: operation -> weight in the mixture. "none" takes part in the softmax; here it is SNAS' alone.
EdgeWeights = list[dict[str, float]]


def derive(
    operations: OperationSets,
    alphas: Mapping[str, Any],
    max_skips: int | None = None,
    exact: bool = False,
    refinement: Refinement = "at_once",
    edge_weights: Mapping[str, Any] | None = None,
    rule: Rule = "darts",
) -> Genotype:
    """The genotype that architecture weights describe (DARTS' rule and section 4.3.2).

    The softmax runs over the surviving operations of an edge. Each node keeps its two strongest inputs, an input's
    strength being the largest weight of an operation other than "none", and that operation. At equal weights the
    earlier input and the earlier operation win. ``max_skips`` restricts the skip-connects of the normal cell (section
    5.1.1).

    Args:
        operations: ``{"normal": 14 lists of operation names, "reduce": 14 lists}``.
        alphas: Numbers of the same shape (lists, arrays or tensors), before the softmax.
        max_skips: M, the number of skip-connects that the normal cell may keep; None for no restriction.
        exact: M is a constant: a cell with fewer skip-connects turns its strongest other ones into skip-connects.
        refinement: How a surplus goes: ``"at_once"`` keeps the M strongest of the topology, drops the rest and builds
            the cell again (the paper); ``"one_by_one"`` drops only the weakest and builds again (the official code).
            Both end at the same cell (but for ties): a skip-connect that comes in is never stronger than the one that
            it replaces.
        edge_weights: ``{"normal": 14 numbers, ...}`` multiplied to each edge's weights (PC-DARTS' edge normalisation).
        rule: What a node keeps, see :data:`Rule`; ``"gdas"`` knows no ``exact``.

    Raises:
        NaswildError: Shapes or names do not fit, or no cell with that many skip-connects exists.
    """
    weights = mixing_weights(operations, alphas, edge_weights, none=rule == "snas")
    normal = refine(weights["normal"], max_skips, exact, refinement, rule)
    return Genotype(normal, strongest_cell(weights["reduce"], rule))


def alternatives(
    operations: OperationSets,
    alphas: Mapping[str, Any],
    refinement: Refinement = "at_once",
    edge_weights: Mapping[str, Any] | None = None,
    rule: Rule = "darts",
) -> dict[int, Genotype]:
    """The genotypes for at most M = 0..8 skip-connects; an M that this topology cannot reach is left out."""
    found = {}
    for limit in range(INPUTS_PER_NODE * len(CONCAT) + 1):
        try:
            found[limit] = derive(operations, alphas, limit, False, refinement, edge_weights, rule)
        except UnreachableSkips:
            continue
    return found


def prune(operations: OperationSets, alphas: Mapping[str, Any], keep: int) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Search space approximation: the ``keep`` operations with the largest weights of each edge, in their old order.

    Normal and reduction cell are pruned separately; "none" competes like any other (section 4.2).
    """
    check_operations(operations)
    return {
        cell: tuple(
            _strongest(names, row, keep) for names, row in zip(operations[cell], _rows(alphas, operations, cell))
        )
        for cell in CELLS
    }


def _strongest(names: Sequence[str], row: Sequence[float], keep: int) -> tuple[str, ...]:
    order = sorted(range(len(names)), key=lambda i: -row[i])
    return tuple(names[i] for i in sorted(order[:keep]))


class UnreachableSkips(NaswildError):
    """The surviving operations allow no cell with the number of skip-connects that was asked for."""


def mixing_weights(
    operations: OperationSets,
    alphas: Mapping[str, Any],
    edge_weights: Mapping[str, Any] | None = None,
    none: bool = False,
) -> dict[str, EdgeWeights]:
    """Softmax of ``alphas`` over the surviving operations of each edge, per cell; "none" is left out afterwards.

    ``none=True`` keeps it.
    """
    check_operations(operations)
    result = {}
    for cell in CELLS:
        rows = _rows(alphas, operations, cell)
        scale = [1.0] * len(EDGES) if edge_weights is None else [float(value) for value in edge_weights[cell]]
        result[cell] = [
            {name: w * s for name, w in zip(names, _softmax(row)) if none or name != "none"}
            for names, row, s in zip(operations[cell], rows, scale)
        ]
    return result


def _rows(alphas: Mapping[str, Any], operations: OperationSets, cell: str) -> list[list[float]]:
    rows = [[float(value) for value in row] for row in alphas[cell]]
    if [len(row) for row in rows] != [len(names) for names in operations[cell]]:
        raise NaswildError(f"{cell} cell: the architecture weights do not have the shape of the operation sets")
    if not all(math.isfinite(value) for row in rows for value in row):
        raise NaswildError(f"{cell} cell: an architecture weight is not a finite number; the search has diverged")
    return rows


def _softmax(row: Sequence[float]) -> list[float]:
    largest = max(row)
    powers = [math.exp(value - largest) for value in row]
    total = math.fsum(powers)
    return [power / total for power in powers]


def strongest_cell(weights: EdgeWeights, rule: Rule = "darts") -> CellSpec:
    """For each node its two inputs with the strongest operation (or the two strongest pairs), listed by input."""
    if rule == "gdas":
        return _strongest_pairs(weights)
    best = [max(edge.items(), key=lambda item: item[1], default=(None, -1.0)) for edge in weights]
    nodes = []
    for node in CONCAT:
        candidates = [index for index in edges_into(node) if best[index][0] is not None]
        if len(candidates) < INPUTS_PER_NODE:
            raise NaswildError(f"node {node}: fewer than two inputs have an operation other than 'none'")
        chosen = sorted(sorted(candidates, key=lambda index: -best[index][1])[:INPUTS_PER_NODE])
        nodes.append(tuple(Edge(str(best[index][0]), EDGES[index].input) for index in chosen))
    return CellSpec(tuple(nodes), CONCAT)


def _strongest_pairs(weights: EdgeWeights) -> CellSpec:
    """GDAS: for each node the two strongest of all pairs of input and operation, be the input the same or not."""
    nodes = []
    for node in CONCAT:
        pairs = [(index, name) for index in edges_into(node) for name in weights[index]]
        if len(pairs) < INPUTS_PER_NODE:
            raise NaswildError(f"node {node}: its inputs have fewer than two operations other than 'none'")
        best = sorted(pairs, key=lambda pair: -weights[pair[0]][pair[1]])[:INPUTS_PER_NODE]
        nodes.append(tuple(Edge(name, EDGES[index].input) for index, name in sorted(best, key=pairs.index)))
    return CellSpec(tuple(nodes), CONCAT)


def refine(
    weights: EdgeWeights, max_skips: int | None, exact: bool, refinement: Refinement, rule: Rule = "darts"
) -> CellSpec:
    """Architecture refinement (section 4.3.2): restrict the skip-connects of a cell to ``max_skips``.

    Setting a skip-connect's weight to 0 changes which inputs are strongest and may bring in new skip-connects, hence
    the repetition. It ends: every round takes a weight away.
    """
    if exact and rule == "gdas":
        raise NaswildError("exact_skips: two operations of one input cannot both become skip-connects; use max_skips")
    cell = strongest_cell(weights, rule)
    if max_skips is None:
        return cell
    weights = [dict(edge) for edge in weights]
    while cell.skips > max_skips:
        ranked = sorted(_edges_with_skip(cell), key=lambda index: -weights[index]["skip_connect"])
        surplus = ranked[max_skips:] if refinement == "at_once" else ranked[-1:]
        if all(weights[index]["skip_connect"] == 0.0 for index in surplus):
            raise UnreachableSkips(
                f"no cell with at most {max_skips} skip-connects: some edges have no other operation"
            )
        for index in surplus:
            weights[index]["skip_connect"] = 0.0
        cell = strongest_cell(weights, rule)
    return _add_skips(cell, weights, max_skips) if exact else cell


def _edges_with_skip(cell: CellSpec) -> list[int]:
    skips = {
        Connection(edge.input, node)
        for node, edges in zip(CONCAT, cell.nodes)
        for edge in edges
        if edge.operation == "skip_connect"
    }
    return [index for index, edge in enumerate(EDGES) if edge in skips]


def _by_connection(cell: CellSpec) -> dict[Connection, str]:
    return {Connection(edge.input, node): edge.operation for node, edges in zip(CONCAT, cell.nodes) for edge in edges}


def _add_skips(cell: CellSpec, weights: EdgeWeights, target: int) -> CellSpec:
    """The same topology with ``target`` skip-connects: those with the largest weights among its edges."""
    operations = _by_connection(cell)
    skip = {edge: weights[index].get("skip_connect", 0.0) for index, edge in enumerate(EDGES)}
    possible = [edge for edge in operations if operations[edge] != "skip_connect" and skip[edge] > 0.0]
    missing = target - cell.skips
    if missing > len(possible):
        raise UnreachableSkips(
            f"no cell has exactly {target} skip-connects: only {cell.skips + len(possible)} of its edges allow one"
        )
    for edge in sorted(possible, key=lambda edge: -skip[edge])[:missing]:
        operations[edge] = "skip_connect"
    nodes = (tuple(Edge(name, edge.input) for edge, name in operations.items() if edge.node == node) for node in CONCAT)
    return CellSpec(tuple(nodes), CONCAT)
