"""The mixed operations (Eq. 1) of all edges that leave one state, evaluated together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from nas.operations import SEARCH_SPACE
from nas.search.space import EDGES, edges_out_of
from nas.search.stacks import ScaledNorm, SkipDropout, build_stack

# Mixing weights of one state's edges: operation -> (number of edges that have it,), in the order of the edges.
StateWeights = Mapping[str, Tensor]


class Routing:
    """Which weight of a cell's (14, k) matrix belongs to which operation of which state."""

    def __init__(self, operations: Sequence[Sequence[str]]) -> None:
        self.layout: list[list[tuple[str, int]]] = []
        self.index: list[int] = []
        width = len(operations[0])
        for state in range(EDGES[-1].node):
            edges = edges_out_of(state)
            entries = []
            for name in SEARCH_SPACE[1:]:
                places = [edge * width + operations[edge].index(name) for edge in edges if name in operations[edge]]
                if places:
                    entries.append((name, len(places)))
                    self.index += places
            self.layout.append(entries)

    def split(self, weights: Tensor, index: Tensor) -> list[StateWeights]:
        """The weights (14, k) sorted by state and operation; ``index`` is ``self.index`` on the same device."""
        sizes = [size for entries in self.layout for _, size in entries]
        parts = iter(weights.reshape(-1).index_select(0, index).split(sizes))
        return [{name: next(parts) for name, _ in entries} for entries in self.layout]


class StateEdges(nn.Module):
    """Every edge that leaves one state, with its competing operations.

    Args:
        operations: Names of the operations of each edge, in the order of the edges.
        channels: Channels of the state.
        stride: 2 for the inputs of a reduction cell.
        dropout: Put after skip-connects; ``None`` for none.
    """

    def __init__(
        self, operations: Sequence[Sequence[str]], channels: int, stride: int, dropout: SkipDropout | None
    ) -> None:
        super().__init__()
        self.edges, self.stride = len(operations), stride
        self.members = {
            name: edges
            for name in SEARCH_SPACE[1:]
            if (edges := [index for index, names in enumerate(operations) if name in names])
        }
        self.stacks = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        for name, edges in self.members.items():
            stack = build_stack(name, channels, len(edges), stride)
            if stack is not None:
                self.stacks[name] = stack
            elif name.endswith("pool_3x3"):
                self.norms[name] = ScaledNorm(channels)
        self.dropout = dropout

    def forward(self, x: Tensor, weights: StateWeights) -> list[list[Tensor]]:
        """``x`` (N, C, H, W) -> for each edge the terms that add up to its mixed operation."""
        terms: list[list[Tensor]] = [[] for _ in range(self.edges)]
        active = functional.relu(x) if self.stacks else x
        everywhere: Tensor | None = None
        for name, stack in self.stacks.items():
            out = stack(active, weights[name])
            if name == "skip_connect" and self.dropout is not None:
                out = self.dropout(out)
            if len(self.members[name]) == self.edges:
                everywhere = out if everywhere is None else everywhere + out
                continue
            for edge, part in zip(self.members[name], out.chunk(len(self.members[name]), dim=1)):
                terms[edge].append(part)
        if everywhere is not None:
            for edge, part in enumerate(everywhere.chunk(self.edges, dim=1)):
                terms[edge].append(part)
        self._add_shared(x, weights, terms)
        return terms

    def _add_shared(self, x: Tensor, weights: StateWeights, terms: list[list[Tensor]]) -> None:
        """Operations without parameters have one output for all edges of the state: each edge only weights it."""
        for name, norm in self.norms.items():
            pooled = norm(self._pool(name, x))
            for edge, weight in zip(self.members[name], weights[name].unbind()):
                terms[edge].append(pooled * weight)
        if "skip_connect" in self.members and "skip_connect" not in self.stacks:
            for edge, weight in zip(self.members["skip_connect"], weights["skip_connect"].unbind()):
                skipped = x if self.dropout is None else self.dropout(x)
                terms[edge].append(skipped * weight)

    def _pool(self, name: str, x: Tensor) -> Tensor:
        if name == "max_pool_3x3":
            return functional.max_pool2d(x, 3, self.stride, padding=1)
        return functional.avg_pool2d(x, 3, self.stride, padding=1, count_include_pad=False)
