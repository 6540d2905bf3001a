"""The mixed operations (Eq. 1) of all edges that leave one state, or the two inputs of a cell, evaluated together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.search.routing import POOLING, SEPARABLE, SKIP, Members
from nas.search.stacks import ReduceStack, ScaledNorm, SeparableStack, SkipDropout

KERNEL = {"sep_conv_3x3": 3, "sep_conv_5x5": 5, "dil_conv_3x3": 3, "dil_conv_5x5": 5}

# Mixing weights of some edges. For each kind of stack ("sep", "dil", "skip") a vector with the weight of each channel;
# for "shared" a matrix (edges, outputs), zero where an edge lacks the operation or starts elsewhere.
Weights = Mapping[str, Tensor]
# Depthwise kernels of the stacks ("sep", "dil") for each layer; None: the compiled code reads the parameters.
Kernels = Mapping[str, Sequence[Tensor]]


class Chosen(NamedTuple):
    """One operation for each of a cell's 14 edges, by name; ``scales`` (14,), or None where all are 1.

    ``compiled``: compiled code computes the separable convolutions.
    """

    names: Sequence[str]
    scales: Tensor | None
    compiled: bool


class MixedEdges(nn.Module):
    """Every edge that leaves certain states, with its competing operations.

    Args:
        members: The edges and their operations, by kind.
        channels: Channels of a state.
        dropout: Put after skip-connects; ``None`` for none.
    """

    def __init__(self, members: Members, channels: int, dropout: SkipDropout | None) -> None:
        super().__init__()
        self.members, self.channels, self.stride, self.dropout = members, channels, members.stride, dropout
        kinds, sources = members.kinds, len(members.sources)
        self.stacks = nn.ModuleDict()
        for kind, dilation, repeats in (("sep", 1, 2), ("dil", 2, 1)):
            if kind in kinds:
                kernels = {KERNEL[name]: members.by_source(name) for name in kinds[kind]}
                self.stacks[kind] = SeparableStack(channels, kernels, self.stride, dilation, repeats)
        skips = members.by_source(SKIP) if self.stride == 2 else []
        self.reductions = nn.ModuleDict(
            {str(source): ReduceStack(channels, channels, len(edges)) for source, edges in enumerate(skips) if edges}
        )
        pools = [name for name in kinds.get("shared", ()) if name != SKIP]
        self.norms = nn.ModuleDict({name: ScaledNorm(channels * sources) for name in pools})

    def forward(self, states: Sequence[Tensor], weights: Weights, kernels: Kernels | None) -> list[list[Tensor]]:
        """``states`` (N, C, H, W) -> for each edge the terms that add up to its mixed operation."""
        terms: list[list[Tensor]] = [[] for _ in self.members.edges]
        joined = _join(states) if self.norms or (self.stacks and kernels is not None) else None
        active = functional.relu(joined) if self.stacks and kernels is not None and joined is not None else None
        for kind, stack in self.stacks.items():
            assert isinstance(stack, SeparableStack)
            if kernels is None or active is None:
                out = stack.compiled(states, weights[kind])
            else:
                out = stack(active, weights[kind], kernels[kind])
            self._distribute(out, kind, terms)
        if self.reductions:
            self._distribute(self._reduced(states, weights["skip"]), "skip", terms)
        if self.stride == 1 and SKIP in self.members.kinds.get("shared", ()) and self._drops:
            self._distribute([self._dropped_identities(states, weights["skip"])], "skip", terms)
        if "shared" in self.members.kinds:
            self._share(states, joined, weights["shared"], terms)
        return terms

    def single(self, states: Sequence[Tensor], chosen: Chosen) -> list[list[Tensor]]:
        """The same where each edge has one operation, which alone is computed; "none" gives no term."""
        pooled: dict[tuple[str, int], Tensor] = {}  # the same for all edges out of a state
        terms: list[list[Tensor]] = []
        for local, (edge, source) in enumerate(zip(self.members.edges, self.members.source)):
            name = chosen.names[edge]
            scale = None if chosen.scales is None else chosen.scales[edge]
            if name in POOLING and (name, source) not in pooled:
                pooled[name, source] = self._pooled(name, states[source], source)
            if name == "none":
                terms.append([])
            elif name in POOLING:
                terms.append([_scaled(pooled[name, source], scale)])
            else:
                terms.append([self._operation(name, states[source], local, scale, chosen.compiled)])
        return terms

    def _operation(self, name: str, state: Tensor, local: int, scale: Tensor | None, compiled: bool) -> Tensor:
        """A convolution or a skip-connect on the edge ``local``."""
        by_channel = None if scale is None else scale.expand(self.channels).contiguous()
        if name in KERNEL:
            kind = "sep" if name in SEPARABLE else "dil"
            stack = self.stacks[kind]
            assert isinstance(stack, SeparableStack)
            return stack.single(state, self.members.blocks(kind).index((local, name)), by_channel, compiled)
        if self.stride == 1:
            return _scaled(state if self.dropout is None else self.dropout(state), scale)
        source = self.members.source[local]
        reduction = self.reductions[str(source)]
        assert isinstance(reduction, ReduceStack)
        group = self.members.by_source(SKIP)[source].index(local)
        out = reduction.single(functional.relu(state), group, by_channel)
        return out if self.dropout is None else self.dropout(out)

    def _pooled(self, name: str, state: Tensor, source: int) -> Tensor:
        norm = self.norms[name]
        assert isinstance(norm, ScaledNorm)
        channels = slice(source * self.channels, (source + 1) * self.channels)
        return norm.normalise(self._pool(name, state), channels, None)

    def kernels(self, joined: Mapping[SeparableStack, list[Tensor]]) -> Kernels:
        """Those of this module's stacks, by kind."""
        return {kind: joined[stack] for kind, stack in self.stacks.items() if isinstance(stack, SeparableStack)}

    @property
    def _drops(self) -> bool:
        return self.dropout is not None and self.dropout.active

    def _distribute(self, pieces: list[Tensor], kind: str, terms: list[list[Tensor]]) -> None:
        """Give each edge its block of channels."""
        parts: list[Tensor] = []
        for piece in pieces:  # splitting a piece of one block would cost a copy in the backward pass
            parts += [piece] if piece.shape[1] == self.channels else piece.split(self.channels, dim=1)
        for (edge, _), part in zip(self.members.blocks(kind), parts):
            terms[edge].append(part)

    def _reduced(self, states: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
        """The strided skip-connects, state by state."""
        counts = [len(edges) * self.channels for edges in self.members.by_source(SKIP)]
        outputs = []
        for source, scale in enumerate(weights.split(counts)):
            if str(source) in self.reductions:
                out = self.reductions[str(source)](functional.relu(states[source]), scale)
                outputs.append(out if self.dropout is None else self.dropout(out))
        return outputs

    def _dropped_identities(self, states: Sequence[Tensor], weights: Tensor) -> Tensor:
        """The state of each edge, each with a mask of its own: (N, edges * C, H, W)."""
        assert self.dropout is not None
        copies = [state for state, edges in zip(states, self.members.by_source(SKIP)) for _ in edges]
        return self.dropout(torch.cat(copies, dim=1)) * weights.view(1, -1, 1, 1)

    def _share(
        self, states: Sequence[Tensor], joined: Tensor | None, weights: Tensor, terms: list[list[Tensor]]
    ) -> None:
        """What is the same for all edges is computed once and weighted: (edges, outputs) x (outputs, values)."""
        identity = SKIP in self.members.kinds["shared"]
        outputs = list(states) if identity and not self._drops else []
        weights = weights[:, len(states) :] if identity and self._drops else weights
        for name, norm in self.norms.items():
            assert joined is not None
            outputs += norm(self._pool(name, joined)).split(self.channels, dim=1)
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


def _scaled(x: Tensor, scale: Tensor | None) -> Tensor:
    return x if scale is None else x * scale


def _join(states: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(states), dim=1) if len(states) > 1 else states[0]
