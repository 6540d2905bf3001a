"""Remove the last stride of any network: PCB needs the last stage at stride 16."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from backbones.probe import probe

_Layer = tuple[nn.Module, int, int]  # a strided layer, the side of its input and of its output


def unstride(network: nn.Module, level: int, channels: int) -> bool:
    """Let feature ``level`` of ``network`` keep the resolution before its last stride; False if it cannot be done.

    The layers that halve the resolution to that of the feature are found in a forward pass, lose their stride and keep
    their weights; then the network must still run and the feature must have grown. If not, everything is as before.
    """
    layers, features = _run(network, channels)
    side = features[level].shape[-1]
    last = [layer for layer, before, after in layers if abs(after - side) <= 1 and before >= 1.5 * after]
    if any(isinstance(layer, nn.Conv2d) and layer.kernel_size[0] % 2 == 0 for layer in last):
        return False  # patches (ConvNeXt): a kernel of 2 moves and shrinks the map once it has no stride
    saved = [(layer, dict(vars(layer))) for layer in last]
    for layer in last:
        _take_stride(layer)
    if last and _grew(network, level, channels, side):
        return True
    for layer, attributes in saved:
        vars(layer).update(attributes)
    return False


def _run(network: nn.Module, channels: int) -> tuple[list[_Layer], list[Tensor]]:
    layers: list[_Layer] = []

    def note(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            layers.append((layer, inputs[0].shape[-1], output.shape[-1]))

    # Leaves only: a block's own ``stride`` may decide how it is wired (ShuffleNetV2), not what a layer skips.
    leaves = (module for module in network.modules() if not any(True for _ in module.children()))
    handles = [leaf.register_forward_hook(note) for leaf in leaves if _stride(leaf) == 2]
    try:
        features = probe(network, channels)
    finally:
        for handle in handles:
            handle.remove()
    return layers, features


def _stride(layer: nn.Module) -> int:
    stride = getattr(layer, "stride", 1)
    return max(stride) if isinstance(stride, tuple | list) else stride if isinstance(stride, int) else 1


def _take_stride(layer: Any) -> None:
    layer.stride = tuple(1 for _ in layer.stride) if isinstance(layer.stride, tuple | list) else 1
    pools = isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)
    if pools and layer.kernel_size in (2, (2, 2)):
        layer.kernel_size = layer.stride  # windows that did not overlap: without a stride they are the identity


def _grew(network: nn.Module, level: int, channels: int, side: int) -> bool:
    try:
        _, features = _run(network, channels)
    except RuntimeError:  # two branches no longer have the same size
        return False
    return features[level].shape[-1] >= 1.5 * side
