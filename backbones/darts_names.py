"""The tensor names of the DARTS family (DARTS, P-DARTS, PC-DARTS and their descendants) in ours.

Their networks are ``stem.*`` (CIFAR) or ``stem0.*`` and ``stem1.*`` (ImageNet), ``cells.N.preprocessK.*``,
``cells.N._ops.J.*`` with the operations of a cell in the order of its genotype, ``auxiliary_head.*``, ``classifier.*``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from nas.genotype import CellSpec, Genotype

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


def spec_of(cell: int, genotype: Genotype, cells: int) -> CellSpec:
    """The cell at place ``cell``: reductions stand at one and two thirds of the depth (section 5.1.2)."""
    return genotype.reduce if cell in (cells // 3, 2 * cells // 3) else genotype.normal


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
