"""SNAS' resource constraint: the expected cost of a sampled architecture, added to the loss (Xie et al., section 2.3).

An operation costs parameters, multiply-adds and memory accesses (elements read and written, weights included). The
expectation is over the categorical distribution of each edge, so it is linear in the probabilities and each edge is
held down by itself. The paper prints no strengths. Its authors' code has, for the sum over a cell's edges of the mean
logarithm of the three expectations, averaged over the cells of a kind: that is the form here, with their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from nas.search.routing import POOLING
from nas.search.space import CELLS, EDGES, OperationSets
from nas.search.supernet import SearchCell, Supernet

# 1.5e-3 is in the authors' command for 20 cells, 1e-2 in that for 8 cells; "aggressive" is ours, as far above again.
STRENGTHS = {"free": 0.0, "mild": 1.5e-3, "moderate": 1e-2, "aggressive": 6.7e-2}


class Cost(NamedTuple):
    """Of one operation for one image."""

    parameters: int
    macs: int
    memory: int


class _Layer(NamedTuple):
    weights: int
    stride: int
    reads: int  # channels that it reads and writes
    writes: int


def operation_cost(name: str, channels: int, height: int, width: int, stride: int) -> Cost:
    """Cost of the operation ``name`` on ``channels`` of ``height`` x ``width`` pixels."""
    parameters = macs = memory = 0
    for layer in _layers(name, channels, stride):
        before = height * width
        height, width = (-(-side // layer.stride) for side in (height, width))
        pixels = height * width
        parameters += layer.weights
        macs += pixels * (9 * channels if name in POOLING else layer.weights)
        memory += before * layer.reads + pixels * layer.writes + layer.weights
    return Cost(parameters, macs, memory)


def _layers(name: str, channels: int, stride: int) -> Iterator[_Layer]:
    if name == "none":
        return
    if "conv" in name:
        kernel, square = int(name[-1]), channels * channels
        for step in (stride, 1) if name.startswith("sep") else (stride,):
            yield _Layer(kernel * kernel * channels, step, channels, channels)
            yield _Layer(square, 1, channels, channels)
    elif name == "skip_connect" and stride == 2:  # two convolutions beside each other, which read the same
        yield _Layer(channels * channels, stride, 2 * channels, channels)
    else:
        yield _Layer(0, stride, channels, channels)


class ExpectedCost:
    """The costs of a supernet's operations on images of ``height`` x ``width``, as tensors like ``like``.

    ``tables[cell]`` has one (3, 14, k) for each cell of that kind: parameters, multiply-adds, memory accesses.
    """

    def __init__(self, supernet: Supernet, height: int, width: int, like: Tensor) -> None:
        self.tables: dict[str, list[Tensor]] = {cell: [] for cell in CELLS}
        height, width = supernet.after_stem(height, width)
        for cell in supernet.cells:
            assert isinstance(cell, SearchCell)
            kind = "reduce" if cell.reduction else "normal"
            table = torch.tensor(_cell_costs(cell, supernet.operations, height, width), dtype=like.dtype)
            self.tables[kind].append(table.permute(2, 0, 1).to(like.device))
            height, width = (-(-side // (2 if cell.reduction else 1)) for side in (height, width))

    def total(self, alphas: Mapping[str, Tensor]) -> Tensor:
        """Expected parameters, multiply-adds and memory accesses of all edges of the network, (3,)."""
        parts = [(table * torch.softmax(alphas[cell], 1)).sum((1, 2)) for cell in CELLS for table in self.tables[cell]]
        return torch.stack(parts).sum(0)

    def penalty(self, alphas: Mapping[str, Tensor]) -> Tensor:
        """What is multiplied by a strength and added to the loss; an expectation below 1 counts as 1."""
        kinds = []
        for cell in CELLS:
            expected = torch.stack(self.tables[cell]).mul(torch.softmax(alphas[cell], 1)).sum(3)
            kinds.append(expected.clamp(min=1.0).log().mean(1).sum(1).mean())  # over resources, edges, cells
        return torch.stack(kinds).sum()


def _cell_costs(cell: SearchCell, operations: OperationSets, height: int, width: int) -> list[list[Cost]]:
    """For each edge and operation; in a reduction cell the edges out of its inputs have stride 2, the others half."""
    rows = []
    for edge, names in zip(EDGES, operations["reduce" if cell.reduction else "normal"]):
        stride = 2 if cell.reduction and edge.input < 2 else 1
        halved = cell.reduction and stride == 1
        high, wide = (-(-side // (2 if halved else 1)) for side in (height, width))
        rows.append([operation_cost(name, cell.width, high, wide, stride) for name in names])
    return rows
