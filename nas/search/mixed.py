"""The mixed operations (Eq. 1) of all edges that leave one state, evaluated together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.genotype import INPUTS
from nas.operations import SEARCH_SPACE
from nas.search.space import EDGES, edges_out_of
from nas.search.stacks import ReduceStack, ScaledNorm, SeparableStack, SkipDropout

SEPARABLE = ("sep_conv_3x3", "sep_conv_5x5")
DILATED = ("dil_conv_3x3", "dil_conv_5x5")
POOLING = ("max_pool_3x3", "avg_pool_3x3")
SKIP = "skip_connect"
KERNEL = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "dil_conv_3x3": 3, "dil_conv_5x5": 5}

# Mixing weights of one state's edges. For each kind of stack ("sep", "dil", "skip") a vector with the weight of each
# channel; for "shared" a matrix (edges, operations), zero where an edge lacks the operation.
StateWeights = Mapping[str, Tensor]
# Depthwise kernels of one state's stacks ("sep", "dil") for each layer; None: the compiled code reads the parameters.
StateKernels = Mapping[str, Sequence[Tensor]]


class Members:
    """Which edges of a state have which operation; it orders the stacks and the mixing weights alike.

    ``edges[name]`` are positions among the state's edges. ``kinds`` maps each kind of stack to its operations, and
    "shared" to those whose output is the same for all edges: pooling and, at stride 1, the identity.
    """

    def __init__(self, operations: Sequence[Sequence[str]], stride: int) -> None:
        self.operations = operations
        self.count = len(operations)
        self.edges = {
            name: found
            for name in SEARCH_SPACE[1:]
            if (found := [edge for edge, names in enumerate(operations) if name in names])
        }
        shared = POOLING if stride == 2 else (SKIP, *POOLING)
        kinds = {"sep": SEPARABLE, "dil": DILATED, "skip": (SKIP,), "shared": shared}
        self.kinds = {
            kind: present for kind, names in kinds.items() if (present := [n for n in names if n in self.edges])
        }

    def blocks(self, kind: str) -> list[tuple[int, str]]:
        """(edge, operation) of each mixing weight of ``kind``, which for a stack is each block of its channels."""
        if kind == "shared":
            return [(edge, name) for edge in range(self.count) for name in self.kinds[kind]]
        return [(edge, name) for name in self.kinds[kind] for edge in self.edges[name]]


class Routing:
    """Sorts a cell's (14, k) mixing weights by state, kind and channel, in one lookup for all cells of a width.

    ``index`` holds the positions to look up among the weights and a zero that is appended to them.
    """

    def __init__(self, operations: Sequence[Sequence[str]], reduction: bool, channels: int) -> None:
        width = len(operations[0])
        nowhere = len(operations) * width
        self.index: list[int] = []
        self.layout: list[dict[str, tuple[int, ...]]] = []
        for state in range(EDGES[-1].node):
            edges = edges_out_of(state)
            members = Members([operations[edge] for edge in edges], stride_of(state, reduction))
            shapes: dict[str, tuple[int, ...]] = {}
            for kind, names in members.kinds.items():
                blocks = members.blocks(kind)
                copies = 1 if kind == "shared" else channels
                shapes[kind] = (members.count, len(names)) if kind == "shared" else (len(blocks) * channels,)
                for local, name in blocks:
                    present = operations[edges[local]]
                    place = edges[local] * width + present.index(name) if name in present else nowhere
                    self.index += [place] * copies
            self.layout.append(shapes)

    def split(self, weights: Tensor, index: Tensor) -> list[StateWeights]:
        """The weights (14, k) of each state; ``index`` is ``self.index`` on the same device."""
        flat = functional.pad(weights.reshape(-1), (0, 1)).index_select(0, index)
        sizes = [torch.Size(shape).numel() for shapes in self.layout for shape in shapes.values()]
        parts = iter(flat.split(sizes))
        return [{kind: next(parts).view(shape) for kind, shape in shapes.items()} for shapes in self.layout]


def stride_of(state: int, reduction: bool) -> int:
    """Stride of the edges that leave ``state``: 2 from the inputs of a reduction cell."""
    return 2 if reduction and state < INPUTS else 1


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
        self.channels, self.stride, self.dropout = channels, stride, dropout
        self.members = Members(operations, stride)
        kinds = self.members.kinds
        self.stacks = nn.ModuleDict()
        for kind, dilation, repeats in (("sep", 1, 2), ("dil", 2, 1)):
            if kind in kinds:
                kernels = [KERNEL[name] for name in kinds[kind]]
                groups = [len(self.members.edges[name]) for name in kinds[kind]]
                self.stacks[kind] = SeparableStack(channels, kernels, groups, stride, dilation, repeats)
        if SKIP in self.members.edges and stride == 2:
            self.stacks["skip"] = ReduceStack(channels, channels, len(self.members.edges[SKIP]))
        self.norms = nn.ModuleDict({name: ScaledNorm(channels) for name in POOLING if name in self.members.edges})

    def forward(self, x: Tensor, weights: StateWeights, kernels: StateKernels | None) -> list[list[Tensor]]:
        """``x`` (N, C, H, W) -> for each edge the terms that add up to its mixed operation."""
        terms: list[list[Tensor]] = [[] for _ in range(self.members.count)]
        strided = "skip" in self.stacks
        active = functional.relu(x) if strided or (self.stacks and kernels is not None) else x
        for kind, stack in self.stacks.items():
            if isinstance(stack, SeparableStack):
                scale = weights[kind]
                out = stack.compiled(active, scale) if kernels is None else stack(active, scale, kernels[kind])
                self._distribute(out, kind, terms)
            else:
                self._distribute([self._drop(stack(active, weights[kind]))], kind, terms)
        identity = self.stride == 1 and SKIP in self.members.edges
        if identity and self._drops:
            self._distribute([self._dropped_identities(x, weights["skip"])], "skip", terms)
        if "shared" in self.members.kinds:
            self._share(x, identity, weights["shared"], terms)
        return terms

    @property
    def _drops(self) -> bool:
        return self.dropout is not None and self.dropout.active

    def _drop(self, x: Tensor) -> Tensor:
        return x if self.dropout is None else self.dropout(x)

    def _distribute(self, pieces: list[Tensor], kind: str, terms: list[list[Tensor]]) -> None:
        """Give each edge its block of channels."""
        parts: list[Tensor] = []
        for piece in pieces:  # splitting a piece of one block would cost a copy in the backward pass
            parts += [piece] if piece.shape[1] == self.channels else piece.split(self.channels, dim=1)
        for (edge, _), part in zip(self.members.blocks(kind), parts):
            terms[edge].append(part)

    def _dropped_identities(self, x: Tensor, weights: Tensor) -> Tensor:
        """The input once per edge, each with a mask of its own: (N, edges * C, H, W)."""
        dropped = self._drop(torch.cat([x] * (len(weights) // x.shape[1]), dim=1))
        return dropped * weights.view(1, -1, 1, 1)

    def _share(self, x: Tensor, identity: bool, weights: Tensor, terms: list[list[Tensor]]) -> None:
        """What is the same for all edges is computed once and weighted: (edges, operations) x (operations, values)."""
        outputs = [x] if identity and not self._drops else []
        weights = weights[:, 1:] if identity and self._drops else weights
        outputs += [norm(self._pool(name, x)) for name, norm in self.norms.items()]
        if not outputs:
            return
        stacked = torch.stack([out.permute(0, 2, 3, 1) for out in outputs])
        mixed = (weights @ stacked.flatten(1)).view(-1, *stacked.shape[1:])
        for edge, part in enumerate(mixed.permute(0, 1, 4, 2, 3).unbind()):
            terms[edge].append(part)

    def _pool(self, name: str, x: Tensor) -> Tensor:
        if name == "max_pool_3x3":
            return functional.max_pool2d(x, 3, self.stride, padding=1)
        return functional.avg_pool2d(x, 3, self.stride, padding=1, count_include_pad=False)
