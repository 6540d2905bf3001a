"""Find a cell, build the network it describes, train it.

Public face: :class:`Genotype`, :func:`build_network`, :func:`count`, and the subpackage :mod:`nas.search`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.counting import Count, count
    from nas.genotype import CellSpec, Edge, Genotype
    from nas.network import CellNetwork, build_network

# Resolved on first use, so that `import nas` stays instant for the command line's help (PEP 562).
_HOME = {
    "CellNetwork": "nas.network",
    "CellSpec": "nas.genotype",
    "Count": "nas.counting",
    "Edge": "nas.genotype",
    "Genotype": "nas.genotype",
    "build_network": "nas.network",
    "count": "nas.counting",
}

__all__ = ["CellNetwork", "CellSpec", "Count", "Edge", "Genotype", "build_network", "count"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
