"""The tensor names of the DARTS family (DARTS, P-DARTS, PC-DARTS and their descendants) in ours.

Their networks are ``stem.*`` (CIFAR) or ``stem0.*`` and ``stem1.*`` (ImageNet), ``cells.N.preprocessK.*``,
``cells.N._ops.J.*`` with the operations of a cell in the order of its genotype, ``auxiliary_head.*``, ``classifier.*``.
FairDARTS numbers an operation by its edge instead: ``cells.N._ops.TO.FROM.K.*``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from nas.genotype import INPUTS, CellSpec, Genotype
from nas.operations import build_operation

T = TypeVar("T")

# A strided skip and the first input after a reduction: theirs and ours.
_FACTORIZED_REDUCE = {"conv_1": "even", "conv_2": "odd", "bn": "norm"}
_AUXILIARY = {"features.2": "reduce.0", "features.3": "reduce.1", "features.5": "widen.0", "features.6": "widen.1"}


def renamed(key: str, genotype: Genotype, cells: int) -> str | None:
    """Our name of the tensor ``key`` of a network of ``cells`` cells of ``genotype``; None if it has no place there."""
    for pattern, rename in _RULES:
        if match := re.fullmatch(pattern, key):
            return rename(match, genotype, cells)
    return None


def cell_count(keys: Iterable[str]) -> int:
    """Number of cells in a checkpoint with these tensor names."""
    found = {int(match[1]) for key in keys if (match := re.match(r"cells\.(\d+)\.", key))}
    return max(found) + 1 if found else 0


def is_reduction(cell: int, cells: int) -> bool:
    """Whether the cell at place ``cell`` reduces: those at one and two thirds of the depth do (section 5.1.2)."""
    return cell in (cells // 3, 2 * cells // 3)


def spec_of(cell: int, genotype: Genotype, cells: int) -> CellSpec:
    """The cell at place ``cell``."""
    return genotype.reduce if is_reduction(cell, cells) else genotype.normal


def with_flat_edges(source: Mapping[str, T], genotype: Genotype) -> dict[str, T]:
    """``source`` with FairDARTS' ``_ops.TO.FROM.K`` as ``_ops.J``, the place of that edge in ``genotype``.

    Nodes without an input have a number there and none in a genotype, so that edges are matched by their order. Only
    edges with parameters can be seen in a checkpoint. Other layouts come back unchanged.
    """
    named = {key: match for key in source if (match := re.fullmatch(_BY_EDGE, key))}
    cells, edges = cell_count(source), {tuple(map(int, match.group(1, 2, 3, 4))) for match in named.values()}
    places: dict[tuple[int, ...], int] = {}
    for cell in sorted({edge[0] for edge in edges}):
        theirs = sorted(edge for edge in edges if edge[0] == cell)
        ours = _parameterised(spec_of(cell, genotype, cells), is_reduction(cell, cells))
        places |= dict(zip(theirs, ours)) if len(theirs) == len(ours) else {}

    def flat(key: str) -> str:
        if key not in named:
            return key
        cell, *edge = map(int, named[key].group(1, 2, 3, 4))
        place = places.get((cell, *edge))
        return key if place is None else f"cells.{cell}._ops.{place}.{named[key][5]}"

    return {flat(key): value for key, value in source.items()}


_BY_EDGE = r"cells\.(\d+)\._ops\.(\d+)\.(\d+)\.(\d+)\.(.+)"


def _parameterised(spec: CellSpec, reduction: bool) -> list[int]:
    """Places of the edges whose operation has tensors, node by node and there by the state that they read."""
    found, place = [], 0
    for node, edges in enumerate(spec.nodes):
        for edge in edges:
            stride = 2 if reduction and edge.input < INPUTS else 1
            if build_operation(edge.operation, 2, stride).state_dict():
                found.append((node, edge.input, place))
            place += 1
    return [place for _, _, place in sorted(found)]


def unread(key: str, genotype: Genotype, cells: int) -> bool:
    """Whether ``key`` belongs to the preprocessing of an input that no edge reads: our cells leave it out."""
    match = re.match(r"cells\.(\d+)\.preprocess([01])\.", key)
    if match is None:
        return False
    nodes = spec_of(int(match[1]), genotype, cells).nodes
    return all(edge.input != int(match[2]) for node in nodes for edge in node)


def _rest(rest: str) -> str:
    """The name inside an operation: ``op.1.weight`` is ``1.weight`` with us, ``conv_1.weight`` is ``even.weight``."""
    first, _, last = rest.removeprefix("op.").partition(".")
    return f"{_FACTORIZED_REDUCE.get(first, first)}.{last}"


def _stem(match: re.Match[str], genotype: Genotype, cells: int) -> str:  # noqa: ARG001 (the shape of a rule)
    return f"body.stem{match[1] or '0'}.{match[2]}"


def _preprocess(match: re.Match[str], genotype: Genotype, cells: int) -> str | None:
    if unread(match[0], genotype, cells):
        return None
    return f"body.cells.{match[1]}.preprocess{match[2]}.{_rest(match[3])}"


def _operation(match: re.Match[str], genotype: Genotype, cells: int) -> str | None:
    spec = spec_of(int(match[1]), genotype, cells)
    places = [(node, edge) for node, edges in enumerate(spec.nodes) for edge in range(len(edges))]
    if int(match[2]) >= len(places):
        return None
    node, edge = places[int(match[2])]
    return f"body.cells.{match[1]}.nodes.{node}.{edge}.{_rest(match[3])}"


def _auxiliary(match: re.Match[str], genotype: Genotype, cells: int) -> str | None:  # noqa: ARG001
    layer = _AUXILIARY.get(match[1], match[1])
    return f"auxiliary.{layer}.{match[2]}"


def _same(match: re.Match[str], genotype: Genotype, cells: int) -> str:  # noqa: ARG001
    return match[0]


_RULES: tuple[tuple[str, Callable[[re.Match[str], Genotype, int], str | None]], ...] = (
    (r"stem([01]?)\.(\d+\.\w+)", _stem),
    (r"cells\.(\d+)\.preprocess([01])\.(.+)", _preprocess),
    (r"cells\.(\d+)\._ops\.(\d+)\.(.+)", _operation),
    (r"auxiliary_head\.(features\.\d+|classifier)\.(\w+)", _auxiliary),
    (r"classifier\.\w+", _same),
)
