"""One small forward pass that tells what a foreign network really does: shapes, strides, needed parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Side in pixels of the image that a network without a fixed input size is probed with: four pixels at stride 32.
PROBE_SIDE = 128


def probe(network: Any, channels: int) -> list[Tensor]:
    """The features of one black image, with their autograd graph; ``network`` keeps its mode and statistics.

    The image has the size of timm's ``pretrained_cfg`` if the model takes no other, else a small one.
    """
    cfg = network.pretrained_cfg
    _, height, width = cfg["input_size"]
    if not cfg.get("fixed_input_size"):
        _, low, narrow = cfg.get("min_input_size") or (channels, 0, 0)
        height, width = max(PROBE_SIDE, low), max(PROBE_SIDE, narrow)
    with evaluating(network), torch.enable_grad():
        return list(network(torch.zeros(1, channels, height, width)))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a moment; every module gets its own mode back."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def parameters_behind(outputs: Iterable[Tensor]) -> set[Tensor]:
    """The parameters that ``outputs`` depend on, read off the autograd graph."""
    found: set[Tensor] = set()
    seen: set[Any] = set()
    open_nodes = [output.grad_fn for output in outputs if output.grad_fn is not None]
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # an accumulation node, the place where a parameter enters the graph
            found.add(node.variable)
        open_nodes += [parent for parent, _ in node.next_functions if parent is not None]
    return found
