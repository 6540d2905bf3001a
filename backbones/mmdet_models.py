"""``CellBackbone`` and ``TimmBackbone`` in mmdetection's registry: any config takes one by its ``type``.

Import it once (``custom_imports = dict(imports=["backbones.mmdet_models"])`` in a config). Then::

    backbone=dict(type="CellBackbone", genotype="pdarts_cifar10", out_indices=(1, 2, 3), norm_eval=True,
                  init_cfg=dict(type="Pretrained", checkpoint="pdarts.safetensors"))
    backbone=dict(type="CellBackbone", weights="pdarts.safetensors", out_indices=(1, 2, 3))
    backbone=dict(type="TimmBackbone", name="resnet50", pretrained=True, out_indices=(1, 2, 3))
"""

from __future__ import annotations

import copy
from typing import Any

from backbones import cell_backbone, timm_backbone
from backbones.metadata import CellArchitecture, TimmArchitecture
from backbones.weights import LoadReport, is_weights_file, load_into, read_metadata
from nas.errors import NaswildError, require

MODELS = require("mmdet.registry", "detection").MODELS
BaseModule = require("mmengine.model", "detection").BaseModule


class _Initialised(BaseModule):  # type: ignore[misc, valid-type]
    """mmengine's initialisation for a pyramid: ``init_cfg`` may name one of our weights files."""

    load_report: LoadReport | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    _is_init: bool

    def _prepare(self, init_cfg: Any, weights: str | None) -> None:
        self.init_cfg = copy.deepcopy(init_cfg)
        if weights is not None:
            self._load(weights)

    def _load(self, path: str) -> None:
        metadata = read_metadata(path)
        self.load_report = load_into(self, path)
        self.mean, self.std = metadata.mean, metadata.std

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says: a ``Pretrained`` weights file strictly, everything else by mmengine."""
        checkpoint = self.init_cfg.get("checkpoint") if isinstance(self.init_cfg, dict) else None
        if self._is_init:
            return
        if is_weights_file(checkpoint):
            self._load(str(checkpoint))
            self._is_init = True
        else:
            super().init_weights()


@MODELS.register_module(name="CellBackbone")
class MMDetCellBackbone(cell_backbone.CellBackbone, _Initialised):
    """:class:`backbones.CellBackbone` with mmengine's ``init_cfg``; ``weights`` is a file that also gives the cells."""

    def __init__(
        self, genotype: Any = None, *args: Any, weights: str | None = None, init_cfg: Any = None, **options: Any
    ) -> None:
        if weights is not None:
            options = _shape_of(weights, CellArchitecture).shape | options
            genotype = options.pop("genotype")
        if genotype is None:
            raise NaswildError("CellBackbone needs genotype= (a zoo name, a file, a text) or weights= (a weights file)")
        super().__init__(genotype, *args, **options)
        self._prepare(init_cfg, weights)


@MODELS.register_module(name="TimmBackbone")
class MMDetTimmBackbone(timm_backbone.TimmBackbone, _Initialised):
    """:class:`backbones.TimmBackbone` with mmengine's ``init_cfg``; ``weights`` is a file that also names the model."""

    def __init__(
        self, name: str | None = None, *args: Any, weights: str | None = None, init_cfg: Any = None, **options: Any
    ) -> None:
        if weights is not None:
            architecture = _shape_of(weights, TimmArchitecture)
            name, options = architecture.name, architecture.kwargs | options
        if name is None:
            raise NaswildError("TimmBackbone needs name= (a timm model) or weights= (a weights file)")
        super().__init__(name, *args, **options)
        self._prepare(init_cfg, weights)


def _shape_of(weights: str, kind: type) -> Any:
    architecture = read_metadata(weights).architecture
    if not isinstance(architecture, kind):
        other = "TimmBackbone" if kind is CellArchitecture else "CellBackbone"
        raise NaswildError(f"{weights} holds a network of the other kind: use type={other!r}")
    return architecture
