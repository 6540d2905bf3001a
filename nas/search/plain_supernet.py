"""The supernet as the papers define it: every operation of every edge a module of its own, mixed by Eq. 1, in NCHW.

It is what :mod:`nas.search.supernet` must equal (the tests compare outputs and gradients) and what it is timed against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.operations import FactorizedReduce, ReLUConvBN, build_operation

# (output of a skip-connect, cell, edge) -> what is applied to it: dropout with a known mask, or nothing.
SkipRule = Callable[[Tensor, int, int], Tensor]
EDGES = [(node, i) for node in range(2, 6) for i in range(node)]


class PlainOperation(nn.Module):
    """One candidate: the operation without affine parameters, a batch normalisation after pooling."""

    def __init__(self, name: str, channels: int, stride: int) -> None:
        super().__init__()
        self.name = name
        self.operation = build_operation(name, channels, stride, affine=False)
        self.norm = nn.BatchNorm2d(channels, affine=False) if "pool" in name else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.operation(x))


class PlainMixedOperation(nn.Module):
    """Eq. 1: the sum over the operations of an edge of weight times output."""

    def __init__(self, names: Sequence[str], channels: int, stride: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(PlainOperation(name, channels, stride) for name in names)

    def forward(self, x: Tensor, weights: Tensor, skip: Callable[[Tensor], Tensor]) -> Tensor:
        outputs = [skip(op(x)) if op.name == "skip_connect" else op(x) for op in self.operations]
        return sum((w * out for w, out in zip(weights, outputs)), torch.zeros(()).to(x))


class PlainCell(nn.Module):
    """Two inputs, four nodes that sum their incoming edges, concatenated."""

    def __init__(
        self, names: Sequence[Sequence[str]], before: tuple[int, int], channels: int, reduction: bool, halve_first: bool
    ) -> None:
        super().__init__()
        self.reduction = reduction
        first = FactorizedReduce if halve_first else ReLUConvBN
        self.preprocess0 = first(before[0], channels, affine=False)
        self.preprocess1 = ReLUConvBN(before[1], channels, affine=False)
        self.edges = nn.ModuleList(
            PlainMixedOperation(names[e], channels, 2 if reduction and i < 2 else 1) for e, (_, i) in enumerate(EDGES)
        )

    def forward(self, s0: Tensor, s1: Tensor, weights: Tensor, skip: Callable[[Tensor, int], Tensor]) -> Tensor:
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node in range(2, 6):
            states.append(self._node(node, states, weights, skip))
        return torch.cat(states[2:], dim=1)

    def _node(self, node: int, states: list[Tensor], weights: Tensor, skip: Callable[[Tensor, int], Tensor]) -> Tensor:
        incoming = []
        for e, (to, i) in enumerate(EDGES):
            if to == node:
                incoming.append(self.edges[e](states[i], weights[e], lambda out, e=e: skip(out, e)))
        return sum(incoming[1:], incoming[0])


class PlainSupernet(nn.Module):
    """Stem, cells with reductions at one and two thirds, pooling, classifier."""

    def __init__(
        self, operations: Mapping[str, Sequence[Sequence[str]]], channels: int, cells: int, classes: int
    ) -> None:
        super().__init__()
        width = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        before, halve_first = (width, width), False
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction else 1
            names = operations["reduce" if reduction else "normal"]
            self.cells.append(PlainCell(names, before, channels, reduction, halve_first))
            before, halve_first = (before[1], 4 * channels), reduction
        self.classifier = nn.Linear(before[1], classes)

    def forward(self, images: Tensor, weights: Mapping[str, Tensor], skip: SkipRule | None = None) -> Tensor:
        rule = skip or (lambda out, *_: out)
        s0 = s1 = self.stem(images)
        for index, cell in enumerate(self.cells):
            mixing = weights["reduce" if cell.reduction else "normal"]
            s0, s1 = s1, cell(s0, s1, mixing, lambda out, e, index=index: rule(out, index, e))
        return self.classifier(functional.adaptive_avg_pool2d(s1, 1).flatten(1))
