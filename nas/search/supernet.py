"""The supernet: a stack of cells in which every edge is a mixture of operations (section 4.1).

Normal and reduction cells share one set of mixing weights each. Batch normalisation has no affine parameters; pooling
is followed by one. The network computes in channels_last.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.native.choice import Choice, choose
from nas.recompute import recompute
from nas.search.architecture import Mixture
from nas.search.kernels import SharedKernels
from nas.search.mixed import Chosen, Kernels, MixedEdges, Weights
from nas.search.recipe import SearchRecipe
from nas.search.routing import SOURCES, Routing, members_of
from nas.search.space import CONCAT, EDGES, OperationSets, edges_into, edges_out_of
from nas.search.stacks import ReduceStack, SeparableStack, SkipDropout, Squeeze

log = logging.getLogger(__name__)
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
        self.width = channels // recipe.partial  # channels that the operations see
        self.routing = f"{'reduce' if reduction else 'normal'}_{self.width}"
        first = ReduceStack if halve_first else Squeeze
        self.preprocess0 = first(channels_in[0], channels)
        self.preprocess1 = Squeeze(channels_in[1], channels)
        self.dropout = SkipDropout()
        self.mixed = nn.ModuleList()
        for members in members_of(operations, reduction):
            dropout = self.dropout if members.stride == 1 or recipe.skip_dropout_on == "all" else None
            self.mixed.append(MixedEdges(members, self.width, dropout))

    def forward(
        self,
        previous: Tensor,
        current: Tensor,
        weights: Sequence[Weights] | Chosen,
        edges: Tensor | None = None,
        kernels: Sequence[Kernels] | None = None,
    ) -> Tensor:
        """``previous`` and ``current``, both after the ReLU, are (N, C, H, W); returns the cell before its ReLU.

        ``weights`` and ``kernels`` (None where compiled code computes the stacks) are those of each of ``SOURCES``, or
        the one operation of each edge; ``edges`` (14,) weights the channels that bypass the operations.
        """
        incoming: list[list[Tensor]] = [[] for _ in range(CONCAT[-1] + 1)]
        bypassing: list[list[Tensor]] = [[] for _ in incoming]
        states = [self.preprocess0(previous), self.preprocess1(current)]
        if isinstance(weights, Chosen):
            self._fill_empty(incoming, states[0], weights)
        for number, (sources, mixed) in enumerate(zip(SOURCES, self.edge_groups())):
            if sources[0] >= CONCAT[0]:
                states.append(self._node(incoming[sources[0]], bypassing[sources[0]], kernels is None))
            inputs = [states[state] if self.partial == 1 else states[state][:, : self.width] for state in sources]
            if self.partial > 1:
                for state in sources:
                    self._bypass(states[state][:, self.width :], state, mixed.stride, edges, bypassing)
            if isinstance(weights, Chosen):
                found = mixed.single(inputs, weights)
            else:
                found = mixed(inputs, weights[number], None if kernels is None else kernels[number])
            for edge, terms in zip(mixed.members.edges, found):
                incoming[EDGES[edge].node] += terms
        states.append(self._node(incoming[-1], bypassing[-1], kernels is None))
        return torch.cat(states[CONCAT[0] :], dim=1)

    def edge_groups(self) -> list[MixedEdges]:
        """The mixed edges out of each of ``SOURCES``."""
        return [mixed for mixed in self.mixed if isinstance(mixed, MixedEdges)]

    def _fill_empty(self, incoming: list[list[Tensor]], state: Tensor, chosen: Chosen) -> None:
        """Give zeros to the nodes that only edges with "none" lead to, connected to the weights like other terms."""
        for node in CONCAT:
            if all(chosen.names[edge] == "none" for edge in edges_into(node)):
                height, width = (-(-side // (2 if self.reduction else 1)) for side in state.shape[2:])
                zeros = state.new_zeros(state.shape[0], self.width, height, width)
                incoming[node].append(zeros if chosen.scales is None else zeros + 0.0 * chosen.scales.sum())

    def _bypass(
        self, around: Tensor, state: int, stride: int, weights: Tensor | None, bypassing: list[list[Tensor]]
    ) -> None:
        """Bring the channels that no operation sees to the nodes that ``state`` leads to."""
        if stride == 2:
            around = functional.max_pool2d(around, 2, 2, ceil_mode=True)
        for edge in edges_out_of(state):
            bypassing[EDGES[edge].node].append(around if weights is None else around * weights[edge])

    def _node(self, mixed: list[Tensor], bypassing: list[Tensor], one_by_one: bool) -> Tensor:
        out = _sum(mixed, one_by_one)
        if self.partial == 1:
            return out
        out = torch.cat([out, _sum(bypassing, one_by_one)], dim=1)
        return functional.channel_shuffle(out, self.partial)


def _sum(terms: list[Tensor], one_by_one: bool) -> Tensor:
    """The sum in two launches, or ``one_by_one`` in place of the first partial sum, which holds the least memory."""
    if len(terms) == 1:
        return terms[0]
    if not one_by_one:
        return torch.stack([term.permute(0, 2, 3, 1) for term in terms]).sum(0).permute(0, 3, 1, 2)
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
        self.checkpointing, self.operations = recipe.checkpointing, operations
        self.runs_on: str | None = None  # description of what computed the separable convolutions last
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
        self.routing: dict[str, Routing] = {}
        for cell in self._cells():
            self._add_routing(cell, operations)
        self.shared_kernels = SharedKernels(self._stacks())
        self.to(memory_format=torch.channels_last)

    def _add_routing(self, cell: SearchCell, operations: OperationSets) -> None:
        if cell.routing not in self.routing:
            kind = "reduce" if cell.reduction else "normal"
            self.routing[cell.routing] = Routing(operations[kind], cell.reduction, cell.width)
            index = torch.tensor(self.routing[cell.routing].index)
            self.register_buffer(f"{cell.routing}_index", index, persistent=False)

    def _stacks(self) -> list[SeparableStack]:
        return [module for module in self.cells.modules() if isinstance(module, SeparableStack)]

    def forward(self, images: Tensor, mixture: Mixture) -> Tensor:
        """``images`` (N, 3, H, W), normalised -> logits (N, classes)."""
        images = images.contiguous(memory_format=torch.channels_last)
        # Every cell begins with a ReLU of its inputs, and each output is read by two cells: it is done once, in place.
        previous = current = functional.relu(self.stem(images), inplace=True)
        weights = self._weights(mixture, current)
        joined = [None] * len(self.cells) if mixture.chosen else self._kernels(current)
        for cell, kernels in zip(self._cells(), joined):
            edges = None if mixture.edges is None else mixture.edges["reduce" if cell.reduction else "normal"]
            inputs = (previous, current, weights[cell.routing], edges, kernels)
            again = self.checkpointing and torch.is_grad_enabled()
            previous, current = current, recompute(cell, *inputs) if again else cell(*inputs)
            if cell is not self.cells[-1]:
                current = functional.relu(current, inplace=True)
        return self.classifier(current.mean(dim=(2, 3)))

    def _weights(self, mixture: Mixture, x: Tensor) -> Mapping[str, Sequence[Weights] | Chosen]:
        """The mixing weights of each kind of cell: sorted by source, or the one operation of each edge."""
        kinds = {name: name.split("_")[0] for name in self.routing}
        if mixture.chosen is None:
            return {
                name: routing.split(mixture.weights[kinds[name]], self.get_buffer(f"{name}_index"))
                for name, routing in self.routing.items()
            }
        alone = "PyTorch (operations are computed one by one)" if x.device.type != "cpu" else None
        compiled = self._choose(x, alone).compiled
        return {name: self._chosen(mixture, kind, compiled) for name, kind in kinds.items()}

    def _chosen(self, mixture: Mixture, kind: str, compiled: bool) -> Chosen:
        """Scales that are 1 and take no gradient are left out."""
        assert mixture.chosen is not None
        columns, weights = mixture.chosen[kind], mixture.weights[kind]
        names = [names[column] for names, column in zip(self.operations[kind], columns)]
        if mixture.edges is None and not weights.requires_grad:
            return Chosen(names, None, compiled)
        places = torch.tensor(columns, device=weights.device)[:, None]
        return Chosen(names, weights.gather(1, places).squeeze(1), compiled)

    def _kernels(self, x: Tensor) -> Sequence[list[Kernels] | None]:
        """Each cell's kernels by source and kind of stack; None where compiled code computes the stacks."""
        if self._choose(x).compiled:
            return [None for _ in self.cells]
        joined = dict(zip(self._stacks(), self.shared_kernels()))
        return [[mixed.kernels(joined) for mixed in cell.edge_groups()] for cell in self._cells()]

    def _choose(self, x: Tensor, words: str | None = None) -> Choice:
        """What computes the separable convolutions; a change is in the log. ``words`` say it better."""
        choice = choose(x, [weight for stack in self._stacks() for weight in stack.pointwise])
        words = words or choice.words
        if words != self.runs_on:
            self.runs_on = words
            log.info("separable convolutions run on %s", words)
        return choice

    def _cells(self) -> list[SearchCell]:
        return [cell for cell in self.cells if isinstance(cell, SearchCell)]

    def after_stem(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what the stem makes of images of that size."""
        for layer in self.stem.modules():
            if isinstance(layer, nn.Conv2d):
                height, width = (-(-side // layer.stride[0]) for side in (height, width))
        return height, width

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
