"""The mixed operations (Eq. 1) of all edges that leave one state, evaluated together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.operations import SEARCH_SPACE
from nas.search.space import EDGES, edges_out_of
from nas.search.stacks import ReduceStack, ScaledNorm, SeparableStack, SkipDropout

SEPARABLE = ("sep_conv_3x3", "sep_conv_5x5")
DILATED = ("dil_conv_3x3", "dil_conv_5x5")
POOLING = ("max_pool_3x3", "avg_pool_3x3")
SKIP = "skip_connect"
KERNEL = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "dil_conv_3x3": 3, "dil_conv_5x5": 5}

# Mixing weights of one state's edges: a vector for each kind of stack ("sep", "dil", "skip"), in the stack's order, and
# a matrix (edges, pools) for "pool".
StateWeights = Mapping[str, Tensor]


class Members:
    """Which edges of a state have which operation; it orders the stacks and the mixing weights alike.

    ``edges[name]`` are positions among the state's edges. ``kinds`` maps each kind of stack to its operations.
    """

    def __init__(self, operations: Sequence[Sequence[str]]) -> None:
        self.count = len(operations)
        self.edges = {
            name: found
            for name in SEARCH_SPACE[1:]
            if (found := [edge for edge, names in enumerate(operations) if name in names])
        }
        kinds = {"sep": SEPARABLE, "dil": DILATED, "skip": (SKIP,), "pool": POOLING}
        self.kinds = {
            kind: present for kind, names in kinds.items() if (present := [n for n in names if n in self.edges])
        }

    def order(self, kind: str) -> list[int]:
        """The edge that each block of channels of a stack belongs to."""
        return [edge for name in self.kinds[kind] for edge in self.edges[name]]


class Routing:
    """Sorts a cell's (14, k) mixing weights by state and kind of stack, in one lookup for all cells of a kind."""

    def __init__(self, operations: Sequence[Sequence[str]]) -> None:
        width = len(operations[0])
        nowhere = len(operations) * width  # the position of a zero that is appended to the weights
        self.index: list[int] = []
        self.layout: list[dict[str, tuple[int, ...]]] = []
        for state in range(EDGES[-1].node):
            edges = edges_out_of(state)
            members = Members([operations[edge] for edge in edges])

            def place(edge: int, name: str, edges: list[int] = edges) -> int:
                names = operations[edges[edge]]
                return edges[edge] * width + names.index(name) if name in names else nowhere

            shapes: dict[str, tuple[int, ...]] = {}
            for kind, names in members.kinds.items():
                if kind == "pool":
                    places = [place(edge, name) for edge in range(members.count) for name in names]
                    shapes[kind] = (members.count, len(names))
                else:
                    places = [place(edge, name) for name in names for edge in members.edges[name]]
                    shapes[kind] = (len(places),)
                self.index += places
            self.layout.append(shapes)

    def split(self, weights: Tensor, index: Tensor) -> list[StateWeights]:
        """The weights (14, k) of each state; ``index`` is ``self.index`` on the same device."""
        flat = functional.pad(weights.reshape(-1), (0, 1)).index_select(0, index)
        sizes = [torch.Size(shape).numel() for shapes in self.layout for shape in shapes.values()]
        parts = iter(flat.split(sizes))
        return [{kind: next(parts).view(shape) for kind, shape in shapes.items()} for shapes in self.layout]


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
        self.members, self.stride, self.dropout = Members(operations), stride, dropout
        kinds = self.members.kinds
        self.stacks = nn.ModuleDict()
        for kind, dilation, repeats in (("sep", 1, 2), ("dil", 2, 1)):
            if kind in kinds:
                kernels = [KERNEL[name] for name in kinds[kind]]
                groups = [len(self.members.edges[name]) for name in kinds[kind]]
                self.stacks[kind] = SeparableStack(channels, kernels, groups, stride, dilation, repeats)
        if "skip" in kinds and stride == 2:
            self.stacks["skip"] = ReduceStack(channels, len(self.members.edges[SKIP]))
        self.norms = nn.ModuleDict({name: ScaledNorm(channels) for name in kinds.get("pool", [])})

    def forward(self, x: Tensor, weights: StateWeights) -> list[list[Tensor]]:
        """``x`` (N, C, H, W) -> for each edge the terms that add up to its mixed operation."""
        terms: list[list[Tensor]] = [[] for _ in range(self.members.count)]
        if self.stacks:
            active = functional.relu(x)
            for kind, stack in self.stacks.items():
                out = stack(active, weights[kind])
                self._distribute(self._drop(out) if kind == "skip" else out, kind, terms)
        if "skip" in self.members.kinds and "skip" not in self.stacks:
            self._skip(x, weights["skip"], terms)
        if self.norms:
            self._pool(x, weights["pool"], terms)
        return terms

    def _distribute(self, out: Tensor, kind: str, terms: list[list[Tensor]]) -> None:
        order = self.members.order(kind)
        for edge, part in zip(order, out.chunk(len(order), dim=1)):
            terms[edge].append(part)

    def _drop(self, x: Tensor) -> Tensor:
        return x if self.dropout is None else self.dropout(x)

    def _skip(self, x: Tensor, weights: Tensor, terms: list[list[Tensor]]) -> None:
        """Identities: each edge has a dropout mask of its own."""
        for edge, weight in zip(self.members.order("skip"), weights.unbind()):
            terms[edge].append(self._drop(x) * weight)

    def _pool(self, x: Tensor, weights: Tensor, terms: list[list[Tensor]]) -> None:
        """Pooling is the same for all edges, which only weight it differently: (edges, pools) x (pools, values)."""
        pooled = []
        for name, norm in self.norms.items():
            if name == "max_pool_3x3":
                pooled.append(norm(functional.max_pool2d(x, 3, self.stride, padding=1)))
            else:
                pooled.append(norm(functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)))
        stacked = torch.stack([p.permute(0, 2, 3, 1) for p in pooled])
        mixed = (weights @ stacked.flatten(1)).view(-1, *stacked.shape[1:])
        for edge, part in enumerate(mixed.permute(0, 1, 4, 2, 3).unbind()):
            terms[edge].append(part)
