"""Parameters and multiply-adds of any network, by one rule and at its true input size."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Convention = Literal["macs", "paper"]


@dataclass(frozen=True)
class Count:
    """What a network costs: trainable and fixed ``parameters``, and ``macs`` (multiply-adds) for one image."""

    parameters: int
    macs: int


def count(
    network: nn.Module, input_size: int | tuple[int, int] | tuple[int, int, int], convention: Convention = "macs"
) -> Count:
    """Parameters and multiply-adds of ``network`` for one image.

    ``input_size`` is a side in pixels, (height, width), or (channels, height, width). The rule counts convolutions and
    linear layers, without bias. ``convention="paper"`` adds 2 per output element of each batch normalisation and 1 per
    output element of each ReLU module; this reproduces the 557M, 586M and 597M of Table 3. The auxiliary head, which
    exists in training only, is left out of both figures.
    """
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += _layer_macs(module, inputs[0], output, convention)

    modes = {module: module.training for module in network.modules()}
    auxiliary = getattr(network, "auxiliary", None)
    with ExitStack() as stack, torch.no_grad():
        for module in network.modules():
            if isinstance(module, _COUNTED):
                stack.callback(module.register_forward_hook(add).remove)
        network.eval()
        network(_example(network, input_size))
    for module, training in modes.items():
        module.training = training
    parameters = sum(p.numel() for p in network.parameters())
    if isinstance(auxiliary, nn.Module):
        parameters -= sum(p.numel() for p in auxiliary.parameters())
    return Count(parameters, total)


_COUNTED = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.modules.batchnorm._BatchNorm, nn.ReLU)


def _layer_macs(module: nn.Module, x: Tensor, output: Tensor, convention: Convention) -> int:
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, nn.ConvTranspose2d):
        return x.numel() * module.weight[0].numel()
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return output.numel() * module.weight[0].numel()
    if convention == "paper":
        return output.numel() * (1 if isinstance(module, nn.ReLU) else 2)
    return 0


def _example(network: nn.Module, input_size: int | tuple[int, ...]) -> Tensor:
    size = (input_size, input_size) if isinstance(input_size, int) else tuple(input_size)
    shape = size if len(size) == 3 else (3, *size)
    parameter = next(network.parameters())
    return torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype)
