"""The depthwise kernels of a supernet in one size, so that operations of 3x3 and 5x5 share a convolution.

A 3x3 kernel is a 5x5 one with zeros around. All of a network are brought to that size at once, at the beginning of a
step: a handful of launches, however many stacks there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.search.stacks import SeparableStack


class SharedKernels(nn.Module):
    """``forward()`` gives, for each of ``stacks``, the kernels (groups * C, 1, k, k) of each of its layers."""

    def __init__(self, stacks: Sequence[SeparableStack]) -> None:
        super().__init__()
        self._stacks = tuple(stacks)  # in a tuple they are not registered: their weights have one name each
        mixed = [weights for weights in self._layers() if len(weights) == 2]
        small, large = [weights[0] for weights in mixed], [weights[1] for weights in mixed]
        rows: list[int] = []
        for at_small, at_large, (one, two) in zip(_starts(small, 0), _starts(large, sum(map(len, small))), mixed):
            rows += [*range(at_small, at_small + len(one)), *range(at_large, at_large + len(two))]
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.int64), persistent=False)

    def forward(self) -> list[list[Tensor]]:
        """The kernels as they are where a layer has one size, joined where it has two."""
        layers = self._layers()
        mixed = [weights for weights in layers if len(weights) == 2]
        joined = iter(self._join(mixed) if mixed else ())
        kernels = iter([next(joined) if len(weights) == 2 else weights[0] for weights in layers])
        return [[next(kernels) for _ in stack.depthwise] for stack in self._stacks]

    def _layers(self) -> list[list[Tensor]]:
        return [list(layer.parameters()) for stack in self._stacks for layer in stack.depthwise]

    def _join(self, mixed: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
        margin = (mixed[0][1].shape[-1] - mixed[0][0].shape[-1]) // 2
        small = functional.pad(torch.cat([weights[0] for weights in mixed]), (margin,) * 4)
        everything = torch.cat([small, *(weights[1] for weights in mixed)])
        return everything.index_select(0, self.get_buffer("rows")).split([len(a) + len(b) for a, b in mixed])


def _starts(weights: Sequence[Tensor], first: int) -> list[int]:
    """Where each of ``weights`` begins when stored one after the other from row ``first`` on."""
    starts = []
    for weight in weights:
        starts.append(first)
        first += len(weight)
    return starts
