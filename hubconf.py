"""torch.hub: ``torch.hub.load(repo, "pdarts_cifar10", num_classes=10)``, every cell of the zoo by name, and three more.

``backbone`` gives a feature pyramid, ``weights`` the network of a weights file, ``cellnet`` that of any genotype.
"""

from __future__ import annotations

from collections.abc import Callable as _Callable
from typing import Any as _Any

from torch import nn as _nn

dependencies = ["torch", "torchvision", "timm", "numpy", "pydantic", "safetensors", "yaml"]


def backbone(source: _Any, **options: _Any) -> _nn.Module:
    """A feature pyramid: ``source`` is a name of the zoo, a genotype, a weights file or a timm model.

    Options are those of ``backbones.build_backbone``: channels, cells, out_indices, last_stride, ...
    """
    from backbones import build_backbone

    return build_backbone(source, **options)


def weights(path: str) -> _nn.Module:
    """The classification network of a weights file, in evaluation mode."""
    from backbones import load_network

    return load_network(path)


def cellnet(genotype: _Any, **options: _Any) -> _nn.Module:
    """The classification network of any genotype (file, text or name); options as in timm: num_classes, ..."""
    return _create("cellnet", genotype=genotype, **options)


def _create(name: str, **options: _Any) -> _nn.Module:
    import timm

    import backbones  # noqa: F401  (registers the models in timm)

    return timm.create_model(name, **options)


def _entry(name: str) -> _Callable[..., _nn.Module]:
    def entry(**options: _Any) -> _nn.Module:
        return _create(name, **options)

    entry.__name__ = name
    entry.__doc__ = (
        f"The published cell {name!r}; options as in timm: num_classes, stem, channels, cells, in_chans, ..."
    )
    return entry


def _register() -> None:
    from nas import zoo

    globals().update({name: _entry(name) for name in zoo.names()})


_register()
