"""A network computed quickly in training: the same layers, weights and results, fewer passes over memory.

The definitions stay in :mod:`nas.cell` and :mod:`nas.network`. For the time of a training :func:`quicken` gives modules
the classes below, which compute the same with

* one ReLU for all readers of a state or of a cell's output, where the definition has one in each operation;
* separable convolutions as one compiled operation where :mod:`nas.quick_separable` says so, elsewhere with their inner
  ReLU in place; drop path in one pass;
* other depthwise convolutions as in :mod:`nas.depthwise`.

The results differ from the definition's by the rounding of sums; they are the same from run to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.cell import Cell
from nas.depthwise import DepthwiseConv2d, could_be_depthwise
from nas.network import CellBody
from nas.operations import DilConv, FactorizedReduce, ReLUConvBN, SepConv, SpatialFactorConv
from nas.quick_separable import applies, separable

# Operations that begin with a ReLU: the last one for itself, the others as the first layer of a sequence.
_SEQUENCES = (ReLUConvBN, DilConv, SepConv, SpatialFactorConv)
_PREACTIVATED = (*_SEQUENCES, FactorizedReduce)


def quicken(network: nn.Module) -> None:
    """Let ``network`` (ours or timm's) compute in the quick forms; its weights and their names stay."""
    for module in network.modules():
        if type(module) in _QUICK:
            module.__class__ = _QUICK[type(module)]
        elif type(module) is nn.Conv2d and could_be_depthwise(module):
            module.__class__ = DepthwiseConv2d


@contextmanager
def quickened(network: nn.Module, channels_last: bool) -> Iterator[None]:
    """Compute the block in quick forms on pixels in channels_last, if wanted, and plainly after it, however it ends."""
    if channels_last:
        network.to(memory_format=torch.channels_last)
        quicken(network)
    try:
        yield
    finally:
        network.to(memory_format=torch.contiguous_format)
        restore(network)


def restore(network: nn.Module) -> None:
    """Undo :func:`quicken`."""
    plain = {quick: definition for definition, quick in _QUICK.items()} | {DepthwiseConv2d: nn.Conv2d}
    for module in network.modules():
        module.__class__ = plain.get(type(module), type(module))


class QuickCell(Cell):
    """A cell whose inputs have been through a ReLU already, which is all that it reads of them."""

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """As :meth:`nas.cell.Cell.forward`; rectifying what is rectified would change nothing."""
        states = [_after_relu(self.preprocess0, previous), _after_relu(self.preprocess1, current)]
        rectified: dict[int, Tensor] = {}
        for edges, operations in zip(self.spec.nodes, self.nodes):
            assert isinstance(operations, nn.ModuleList)
            paths = [self._edge(op, edge.input, states, rectified) for edge, op in zip(edges, operations)]
            states.append(sum(paths[1:], start=paths[0]))
        return torch.cat([states[index] for index in self.spec.concat], dim=1)

    def _edge(self, operation: nn.Module, read: int, states: list[Tensor], rectified: dict[int, Tensor]) -> Tensor:
        if isinstance(operation, SepConv | DilConv) and applies(operation, states[read]):
            out = separable(operation, states[read])
        elif isinstance(operation, _PREACTIVATED):
            if read not in rectified:
                rectified[read] = functional.relu(states[read])
            out = _after_relu(operation, rectified[read])
        else:
            out = operation(states[read])
        if self.training and self.drop_path_rate > 0.0 and not isinstance(operation, nn.Identity):
            keep = torch.rand(out.shape[0], 1, 1, 1, device=out.device) >= self.drop_path_rate
            out = out * (keep.to(out.dtype) / (1.0 - self.drop_path_rate))
        return out


class QuickBody(CellBody):
    """Stem and cells; an output goes through a ReLU once for the cells that read it."""

    def pass_on(self, out: Tensor) -> Tensor:
        """What the next two cells read of an output."""
        return functional.relu(out)


_QUICK: dict[type[nn.Module], type[nn.Module]] = {Cell: QuickCell, CellBody: QuickBody}


def _after_relu(operation: nn.Module, x: Tensor) -> Tensor:
    """``operation`` on an ``x`` that has been through its ReLU; what has none (an unused input) is left out."""
    if not isinstance(operation, _SEQUENCES):
        return operation(x)
    for layer in list(operation)[1:]:
        # A normalisation does not need its output for its gradient.
        x = functional.relu(x, inplace=True) if isinstance(layer, nn.ReLU) else layer(x)
    return x
