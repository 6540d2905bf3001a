"""Which operations of which edges are computed together, and where each finds its mixing weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nas.genotype import INPUTS
from nas.operations import SEARCH_SPACE
from nas.search.space import EDGES, edges_out_of

SEPARABLE = ("sep_conv_3x3", "sep_conv_5x5")
DILATED = ("dil_conv_3x3", "dil_conv_5x5")
POOLING = ("max_pool_3x3", "avg_pool_3x3")
SKIP = "skip_connect"

# States whose edges are computed together, as soon as they are known: the two inputs of a cell, then node by node.
SOURCES = (tuple(range(INPUTS)), *((state,) for state in range(INPUTS, EDGES[-1].node)))


class Members:
    """The edges out of the states ``sources``; it orders the stacks and the mixing weights alike.

    ``edges`` are positions in :data:`~nas.search.space.EDGES`, source by source; everything else counts positions in
    ``edges``. ``kinds`` maps each kind of stack to its operations, and "shared" to those whose output is the same for
    all edges out of a state: pooling and, at stride 1, the identity.
    """

    def __init__(self, operations: Sequence[Sequence[str]], sources: Sequence[int], stride: int) -> None:
        self.sources, self.stride = tuple(sources), stride
        self.edges = [edge for state in sources for edge in edges_out_of(state)]
        self.operations = [operations[edge] for edge in self.edges]
        self.source = [self.sources.index(EDGES[edge].input) for edge in self.edges]
        present = [name for name in SEARCH_SPACE[1:] if any(name in names for names in self.operations)]
        shared = POOLING if stride == 2 else (SKIP, *POOLING)
        kinds = {"sep": SEPARABLE, "dil": DILATED, "skip": (SKIP,), "shared": shared}
        self.kinds = {
            kind: found for kind, names in kinds.items() if (found := [name for name in names if name in present])
        }

    def by_source(self, name: str) -> list[list[int]]:
        """The edges that have the operation ``name``, for each source."""
        return [
            [edge for edge, names in enumerate(self.operations) if name in names and self.source[edge] == source]
            for source in range(len(self.sources))
        ]

    def blocks(self, kind: str) -> list[tuple[int, str]]:
        """(edge, operation) of each block of channels of a stack."""
        return [(edge, name) for name in self.kinds[kind] for edges in self.by_source(name) for edge in edges]

    def positions(self, kind: str, nowhere: int) -> list[int]:
        """Where the mixing weights of ``kind`` are among the (14, k) of a cell, flattened; or ``nowhere``.

        For a stack one for each block; for "shared" a matrix (edges, operations x sources), row by row.
        """
        width = len(self.operations[0])
        places = {
            (local, name): edge * width + column
            for local, edge in enumerate(self.edges)
            for column, name in enumerate(self.operations[local])
        }
        if kind != "shared":
            return [places[block] for block in self.blocks(kind)]
        return [
            places.get((edge, name), nowhere) if self.source[edge] == source else nowhere
            for edge in range(len(self.edges))
            for name in self.kinds[kind]
            for source in range(len(self.sources))
        ]


class Routing:
    """Sorts a cell's (14, k) mixing weights by source, kind and channel, in one lookup for all cells of a width.

    ``index`` holds the positions to look up among the weights and a zero that is appended to them.
    """

    def __init__(self, operations: Sequence[Sequence[str]], reduction: bool, channels: int) -> None:
        nowhere = len(operations) * len(operations[0])
        self.index: list[int] = []
        self.layout: list[dict[str, tuple[int, ...]]] = []
        for members in members_of(operations, reduction):
            shapes: dict[str, tuple[int, ...]] = {}
            for kind in members.kinds:
                places = members.positions(kind, nowhere)
                if kind == "shared":
                    shapes[kind] = (len(members.edges), len(places) // len(members.edges))
                else:
                    places = [place for place in places for _ in range(channels)]
                    shapes[kind] = (len(places),)
                self.index += places
            self.layout.append(shapes)

    def split(self, weights: Tensor, index: Tensor) -> list[Mapping[str, Tensor]]:
        """The weights (14, k) of each of :data:`SOURCES`; ``index`` is ``self.index`` on the same device."""
        flat = functional.pad(weights.reshape(-1), (0, 1)).index_select(0, index)
        sizes = [torch.Size(shape).numel() for shapes in self.layout for shape in shapes.values()]
        parts = iter(flat.split(sizes))
        return [{kind: next(parts).view(shape) for kind, shape in shapes.items()} for shapes in self.layout]


def members_of(operations: Sequence[Sequence[str]], reduction: bool) -> list[Members]:
    """The members of each of :data:`SOURCES`; edges out of the inputs of a reduction cell have stride 2."""
    return [Members(operations, sources, 2 if reduction and sources[0] < INPUTS else 1) for sources in SOURCES]
