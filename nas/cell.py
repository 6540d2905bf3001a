"""A cell of a discrete network: the graph of a :class:`~nas.genotype.CellSpec` with its operations built."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.genotype import INPUTS, CellSpec
from nas.operations import FactorizedReduce, ReLUConvBN, build_operation, drop_path


class Cell(nn.Module):
    """One cell: ``(c_{k-2}, c_{k-1}) -> c_k`` (P-DARTS, section 4.1).

    Both inputs are first brought to ``channels`` by a 1x1 convolution (``c_{k-2}`` also to the resolution of
    ``c_{k-1}`` if the cell before was a reduction). Each node sums its edges; the output concatenates ``spec.concat``.

    Args:
        spec: The graph.
        channels_in: Channels of ``c_{k-2}`` and of ``c_{k-1}``.
        channels: Channels of every node; the output has ``len(spec.concat)`` times as many.
        reduction: Edges that read an input have stride 2.
        halve_first: ``c_{k-2}`` has twice the resolution of ``c_{k-1}``.
    """

    def __init__(
        self, spec: CellSpec, channels_in: tuple[int, int], channels: int, reduction: bool, halve_first: bool
    ) -> None:
        super().__init__()
        self.spec = spec
        self.reduction = reduction
        self.channels_out = channels * len(spec.concat)
        self.drop_path_rate = 0.0
        read = {edge.input for node in spec.nodes for edge in node}
        # An input that no edge reads gets no convolution: a parameter without a gradient stops DistributedDataParallel.
        first = FactorizedReduce if halve_first else ReLUConvBN
        self.preprocess0: nn.Module = first(channels_in[0], channels) if 0 in read else nn.Identity()
        self.preprocess1: nn.Module = ReLUConvBN(channels_in[1], channels) if 1 in read else nn.Identity()
        self.nodes = nn.ModuleList(
            nn.ModuleList(
                build_operation(edge.operation, channels, 2 if reduction and edge.input < INPUTS else 1)
                for edge in node
            )
            for node in spec.nodes
        )

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """``previous`` is ``c_{k-2}``, ``current`` is ``c_{k-1}``, both (N, C, H, W); returns ``c_k``."""
        states: list[Tensor] = [self.preprocess0(previous), self.preprocess1(current)]
        for edges, operations in zip(self.spec.nodes, self.nodes):
            assert isinstance(operations, nn.ModuleList)
            paths = [self._path(op, states[edge.input]) for edge, op in zip(edges, operations)]
            states.append(sum(paths[1:], start=paths[0]))
        return torch.cat([states[index] for index in self.spec.concat], dim=1)

    def _path(self, operation: nn.Module, state: Tensor) -> Tensor:
        out = operation(state)
        if self.training and self.drop_path_rate > 0.0 and not isinstance(operation, nn.Identity):
            out = drop_path(out, self.drop_path_rate)
        return out
