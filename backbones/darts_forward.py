"""The forward pass of a DARTS-family checkpoint straight from its tensors, written against the papers' definitions.

It shares no code with :mod:`nas.network`, so that a conversion can be proved: the converted network must give the same
logits as its source (DARTS, arXiv 1806.09055, section 2; the layers are those of P-DARTS, section 5.1.1).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from backbones.darts_names import cell_count, spec_of
from nas.errors import unknown
from nas.genotype import INPUTS, Genotype

_State = Mapping[str, Tensor]
# The operations that the family's code has, with the layers that this file knows.
FAMILY_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_7x1_1x7",
)
_SEPARABLE = {"sep_conv_3x3": 1, "sep_conv_5x5": 2, "sep_conv_7x7": 3}
_DILATED = {"dil_conv_3x3": 2, "dil_conv_5x5": 4}
_EPSILON = 1e-5  # of batch normalisation in PyTorch


def darts_logits(state: _State, genotype: Genotype, x: Tensor) -> Tensor:
    """Logits (N, classes) of the network with the tensors ``state``, in evaluation, for images (N, C, H, W).

    Raises :class:`nas.errors.UnknownName` for an operation that is not among :data:`FAMILY_OPERATIONS`.
    """
    if "stem.0.weight" in state:
        first = second = _norm(functional.conv2d(x, state["stem.0.weight"], padding=1), state, "stem.1")
        halve = False
    else:
        x = _conv(x, state, "stem0.0", stride=2, padding=1)
        x = functional.relu(_norm(x, state, "stem0.1"))
        first = _norm(_conv(x, state, "stem0.3", stride=2, padding=1), state, "stem0.4")
        second = _norm(_conv(functional.relu(first), state, "stem1.1", stride=2, padding=1), state, "stem1.2")
        halve = True
    cells = cell_count(state)
    for index in range(cells):
        first, second = second, _cell(index, cells, state, genotype, first, second, halve)
        halve = index in (cells // 3, 2 * cells // 3)
    pooled = second.mean((2, 3))
    return functional.linear(pooled, state["classifier.weight"], state["classifier.bias"])


def _cell(
    index: int, cells: int, state: _State, genotype: Genotype, first: Tensor, second: Tensor, halve: bool
) -> Tensor:
    name = f"cells.{index}"
    reduction = index in (cells // 3, 2 * cells // 3)
    nodes = spec_of(index, genotype, cells).nodes
    read = {edge.input for edges in nodes for edge in edges}
    states = [
        (_halve if halve else _point)(first, state, f"{name}.preprocess0") if 0 in read else first,
        _point(second, state, f"{name}.preprocess1") if 1 in read else second,
    ]
    place = 0
    for edges in nodes:
        total: Tensor | float = 0.0
        for edge in edges:
            stride = 2 if reduction and edge.input < INPUTS else 1
            total = total + _operate(edge.operation, states[edge.input], state, f"{name}._ops.{place}", stride)
            place += 1
        states.append(torch.as_tensor(total))
    return torch.cat([states[i] for i in spec_of(index, genotype, cells).concat], dim=1)


def _operate(operation: str, x: Tensor, state: _State, name: str, stride: int) -> Tensor:
    match operation:
        case "none":
            return torch.zeros_like(x[:, :, ::stride, ::stride])
        case "skip_connect":
            return x if stride == 1 else _halve(x, state, name)
        case "max_pool_3x3":
            return functional.max_pool2d(x, 3, stride, padding=1)
        case "avg_pool_3x3":
            return functional.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)
        case "conv_7x1_1x7":
            x = _conv(functional.relu(x), state, f"{name}.1", stride=(1, stride), padding=(0, 3))
            return _norm(_conv(x, state, f"{name}.2", stride=(stride, 1), padding=(3, 0)), state, f"{name}.3")
        case "sep_conv_3x3" | "sep_conv_5x5" | "sep_conv_7x7":
            x = _depthwise(x, state, f"{name}.op", 1, stride, _SEPARABLE[operation], 1)
            return _depthwise(x, state, f"{name}.op", 5, 1, _SEPARABLE[operation], 1)
        case "dil_conv_3x3" | "dil_conv_5x5":
            return _depthwise(x, state, f"{name}.op", 1, stride, _DILATED[operation], 2)
    raise unknown("operation of the DARTS family", operation, FAMILY_OPERATIONS)


def _depthwise(x: Tensor, state: _State, name: str, layer: int, stride: int, padding: int, dilation: int) -> Tensor:
    weight = state[f"{name}.{layer}.weight"]
    x = functional.conv2d(functional.relu(x), weight, None, stride, padding, dilation, groups=x.shape[1])
    return _norm(_conv(x, state, f"{name}.{layer + 1}"), state, f"{name}.{layer + 2}")


def _point(x: Tensor, state: _State, name: str) -> Tensor:
    return _norm(_conv(functional.relu(x), state, f"{name}.op.1"), state, f"{name}.op.2")


def _halve(x: Tensor, state: _State, name: str) -> Tensor:
    x = functional.relu(x)
    halves = [_conv(x, state, f"{name}.conv_1", stride=2), _conv(x[:, :, 1:, 1:], state, f"{name}.conv_2", stride=2)]
    return _norm(torch.cat(halves, dim=1), state, f"{name}.bn")


def _conv(
    x: Tensor, state: _State, name: str, stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 0
) -> Tensor:
    return functional.conv2d(x, state[f"{name}.weight"], None, stride, padding)


def _norm(x: Tensor, state: _State, name: str) -> Tensor:
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return functional.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=_EPSILON)
