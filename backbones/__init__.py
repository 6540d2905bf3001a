"""A genotype and its weights as a feature pyramid, in the registries of timm, mmdetection and torchreid.

Public face: :class:`CellBackbone`, :class:`TimmBackbone`, :func:`build_backbone`, :func:`load_network`,
:func:`save_weights`, :func:`for_inference`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backbones.build import build_backbone
    from backbones.cell_backbone import CellBackbone
    from backbones.inference import for_inference
    from backbones.timm_backbone import TimmBackbone
    from backbones.weights import WeightsMetadata, load_network, save_weights

# Resolved on first use (PEP 562).
_HOME = {
    "CellBackbone": "backbones.cell_backbone",
    "TimmBackbone": "backbones.timm_backbone",
    "WeightsMetadata": "backbones.weights",
    "build_backbone": "backbones.build",
    "for_inference": "backbones.inference",
    "load_network": "backbones.weights",
    "save_weights": "backbones.weights",
}

__all__ = [
    "CellBackbone",
    "TimmBackbone",
    "WeightsMetadata",
    "build_backbone",
    "for_inference",
    "load_network",
    "save_weights",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backbones' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


# `timm.create_model("pdarts_cifar10")` works after `import backbones`; needs torch and timm, nothing else.
import_module("backbones.timm_models")
import_module("backbones.baselines")
