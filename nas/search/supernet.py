"""The supernet: a stack of cells in which every edge is a mixture of operations (section 4.1).

Normal and reduction cells share one set of mixing weights each. Batch normalisation has no affine parameters; pooling
is followed by one. The network computes in channels_last.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.recompute import recompute
from nas.search.architecture import Mixture
from nas.search.mixed import Routing, StateEdges, StateWeights, stride_of
from nas.search.recipe import SearchRecipe
from nas.search.space import CELLS, CONCAT, EDGES, OperationSets, edges_out_of
from nas.search.stacks import ReduceStack, SkipDropout, Squeeze

STEM_MULTIPLIER = 3


class SearchCell(nn.Module):
    """A cell whose edges are mixtures: ``(c_{k-2}, c_{k-1}) -> c_k``, four nodes concatenated.

    With ``partial`` = K only the first of every K channels pass the operations, the others go around them (PC-DARTS).
    """

    def __init__(
        self,
        operations: Sequence[Sequence[str]],
        channels_in: tuple[int, int],
        channels: int,
        reduction: bool,
        halve_first: bool,
        recipe: SearchRecipe,
    ) -> None:
        super().__init__()
        self.partial, self.reduction = recipe.partial, reduction
        first = ReduceStack if halve_first else Squeeze
        self.preprocess0 = first(channels_in[0], channels)
        self.preprocess1 = Squeeze(channels_in[1], channels)
        self.dropout = SkipDropout()
        self.states = nn.ModuleList()
        for state in range(CONCAT[-1]):
            stride = stride_of(state, reduction)
            dropout = self.dropout if stride == 1 or recipe.skip_dropout_on == "all" else None
            names = [operations[edge] for edge in edges_out_of(state)]
            self.states.append(StateEdges(names, channels // recipe.partial, stride, dropout))

    def forward(
        self, previous: Tensor, current: Tensor, weights: list[StateWeights], edges: Tensor | None = None
    ) -> Tensor:
        """``previous`` and ``current``, both after the ReLU, are (N, C, H, W); returns the cell before its ReLU.

        ``edges`` (14,) weights the channels that bypass the operations.
        """
        incoming: list[list[Tensor]] = [[] for _ in range(CONCAT[-1] + 1)]
        bypassing: list[list[Tensor]] = [[] for _ in incoming]
        states = [self.preprocess0(previous), self.preprocess1(current)]
        for state, module in enumerate(self.states):
            if state >= CONCAT[0]:
                states.append(self._node(incoming[state], bypassing[state]))
            x = states[state]
            if self.partial > 1:
                width = x.shape[1] // self.partial
                x, around = x[:, :width], x[:, width:]
                if module.stride == 2:
                    around = functional.max_pool2d(around, 2, 2, ceil_mode=True)
                for edge in edges_out_of(state):
                    bypassing[EDGES[edge].node].append(around if edges is None else around * edges[edge])
            for edge, terms in zip(edges_out_of(state), module(x, weights[state])):
                incoming[EDGES[edge].node] += terms
        states.append(self._node(incoming[-1], bypassing[-1]))
        return torch.cat(states[CONCAT[0] :], dim=1)

    def _node(self, mixed: list[Tensor], bypassing: list[Tensor]) -> Tensor:
        out = _sum(mixed)
        if self.partial == 1:
            return out
        out = torch.cat([out, _sum(bypassing)], dim=1)
        return functional.channel_shuffle(out, self.partial)


def _sum(terms: list[Tensor]) -> Tensor:
    """Sum in place of the first partial sum: no tensor is kept for the backward pass of an addition."""
    if len(terms) == 1:
        return terms[0]
    total = terms[0] + terms[1]
    for term in terms[2:]:
        total += term
    return total


class Supernet(nn.Module):
    """Stem, ``cells`` search cells (reductions at one and two thirds), global average pooling, a linear classifier.

    Args:
        operations: Competing operations per cell and edge; every edge has the same number.
        channels: C of the first cells, doubled at each reduction.
        cells: Depth.
        num_classes: Classes of the proxy.
        recipe: Gives the stem, the partial channels, the dropout's place, and whether the cells' activations are
            computed again in the backward pass instead of being kept (``checkpointing``).
    """

    def __init__(
        self, operations: OperationSets, channels: int, cells: int, num_classes: int, recipe: SearchRecipe
    ) -> None:
        super().__init__()
        self.checkpointing = recipe.checkpointing
        self.routing = {cell: Routing(operations[cell], reduction=cell == "reduce") for cell in CELLS}
        for cell in CELLS:
            self.register_buffer(f"{cell}_index", torch.tensor(self.routing[cell].index), persistent=False)
        self.stem, width = _build_stem(recipe.stem, channels)
        reductions = {cells // 3, 2 * cells // 3}
        self.cells = nn.ModuleList()
        widths, halve_first = (width, width), False
        for index in range(cells):
            reduction = index in reductions
            channels = 2 * channels if reduction else channels
            names = operations["reduce" if reduction else "normal"]
            self.cells.append(SearchCell(names, widths, channels, reduction, halve_first, recipe))
            widths, halve_first = (widths[1], channels * len(CONCAT)), reduction
        self.classifier = nn.Linear(widths[1], num_classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, mixture: Mixture) -> Tensor:
        """``images`` (N, 3, H, W), normalised -> logits (N, classes)."""
        images = images.contiguous(memory_format=torch.channels_last)
        weights = {
            cell: self.routing[cell].split(mixture.weights[cell], self.get_buffer(f"{cell}_index")) for cell in CELLS
        }
        # Every cell begins with a ReLU of its inputs, and each output is read by two cells: it is done once, in place.
        previous = current = functional.relu(self.stem(images), inplace=True)
        for cell in self.cells:
            kind = "reduce" if cell.reduction else "normal"
            edges = None if mixture.edges is None else mixture.edges[kind]
            inputs = (previous, current, weights[kind], edges)
            again = self.checkpointing and torch.is_grad_enabled()
            previous, current = current, recompute(cell, *inputs) if again else cell(*inputs)
            if cell is not self.cells[-1]:
                current = functional.relu(current, inplace=True)
        return self.classifier(current.mean(dim=(2, 3)))

    def set_skip_dropout(self, rate: float) -> None:
        """Rate of the dropout after skip-connects, for every cell."""
        for module in self.modules():
            if isinstance(module, SkipDropout):
                module.rate = rate


def _build_stem(stem: str, channels: int) -> tuple[nn.Module, int]:
    """The stem and the number of channels it gives: full resolution on CIFAR, one eighth on ImageNet."""
    if stem == "cifar":
        width = STEM_MULTIPLIER * channels
        return nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)), width
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, channels // 2), (channels // 2, channels), (channels, channels)):
        layers += [nn.ReLU()] if layers else []
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers), channels
