"""``CellBackbone`` and ``TimmBackbone`` in mmdetection's registry: any config takes one by its ``type``.

Import it once (``custom_imports = dict(imports=["backbones.mmdet_models"])`` in a config). Then::

    backbone=dict(type="CellBackbone", genotype="pdarts_cifar10", out_indices=(1, 2, 3), norm_eval=True,
                  init_cfg=dict(type="Pretrained", checkpoint="pdarts.safetensors"))
    backbone=dict(type="CellBackbone", weights="pdarts.safetensors", out_indices=(1, 2, 3))
    backbone=dict(type="TimmBackbone", name="resnet50", pretrained=True, out_indices=(1, 2, 3))

``extra_levels=1`` adds a level at stride 64 (P6), which subsamples the last one as mmdet's FPN does.
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional

from backbones import cell_backbone, timm_backbone
from backbones.metadata import CellArchitecture, TimmArchitecture
from backbones.mmdet_import import prepare
from backbones.pyramid import agreed
from backbones.weights import LoadReport, is_weights_file, load_into, read_metadata
from nas.errors import NaswildError, require

prepare()

MODELS = require("mmdet.registry", "detection").MODELS
BaseModule = require("mmengine.model", "detection").BaseModule
print_log = require("mmengine.logging", "detection").print_log


class _Initialised(BaseModule):  # type: ignore[misc, valid-type]
    """mmengine's initialisation for a pyramid: ``init_cfg`` may name one of our weights files."""

    load_report: LoadReport | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    _is_init: bool

    def _prepare(self, init_cfg: Any, weights: str | None, extra_levels: int) -> None:
        self.init_cfg = copy.deepcopy(init_cfg)
        self.extra_levels = extra_levels
        self.channels += self.channels[-1:] * extra_levels
        self.strides += tuple(self.strides[-1] * 2**level for level in range(1, extra_levels + 1))
        if weights is not None:
            self.load_report = load_into(self, weights)
        if (file := weights or self._file()) is not None:
            self._normalise_as(file)

    def _extended(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """The levels as mmdet's backbones give them: a tuple, on which some necks insist."""
        for _ in range(self.extra_levels):
            levels = [*levels, functional.max_pool2d(levels[-1], 1, stride=2)]
        return tuple(levels)

    def _file(self) -> str | None:
        """Our weights file that ``init_cfg`` names, if it does."""
        checkpoint = self.init_cfg.get("checkpoint") if isinstance(self.init_cfg, dict) else None
        return str(checkpoint) if is_weights_file(checkpoint) else None

    def _normalise_as(self, file: str) -> None:
        """Take mean and std of the images from ``file``: a detector needs them when it is built, to be tested too."""
        if Path(file).exists():
            metadata = read_metadata(file)
            self.mean, self.std = metadata.mean, metadata.std
        else:
            print_log(
                f"{file} is not here: images are normalised by {self.mean}, {self.std}", "current", logging.WARNING
            )

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says: a ``Pretrained`` weights file strictly, everything else by mmengine.

        Without ``init_cfg`` the network stays as it was built or loaded: mmengine would have some timm models (HRNet)
        draw their weights from scratch. What was loaded goes to the training log.
        """
        if self._is_init:
            return
        if (file := self._file()) is not None:
            self.load_report = load_into(self, file)
        elif self.init_cfg:
            super().init_weights()
        self._is_init = True
        if self.load_report is not None:
            print_log(f"backbone weights: {self.load_report}", logger="current")


@MODELS.register_module(name="CellBackbone")
class MMDetCellBackbone(cell_backbone.CellBackbone, _Initialised):
    """:class:`backbones.CellBackbone` with mmengine's ``init_cfg``; ``weights`` is a file that also gives the cells."""

    def __init__(
        self,
        genotype: Any = None,
        *args: Any,
        weights: str | None = None,
        init_cfg: Any = None,
        extra_levels: int = 0,
        **options: Any,
    ) -> None:
        if weights is not None:
            given = options if genotype is None else options | {"genotype": genotype}
            options = agreed(_shape_of(weights, CellArchitecture).shape, given, weights)
            genotype = options.pop("genotype")
        if genotype is None:
            raise NaswildError("CellBackbone needs genotype= (a zoo name, a file, a text) or weights= (a weights file)")
        super().__init__(genotype, *args, **options)
        self._prepare(init_cfg, weights, extra_levels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """The levels of ``out_indices``, then those of ``extra_levels``."""
        return self._extended(super().forward(x))


@MODELS.register_module(name="TimmBackbone")
class MMDetTimmBackbone(timm_backbone.TimmBackbone, _Initialised):
    """:class:`backbones.TimmBackbone` with mmengine's ``init_cfg``; ``weights`` is a file that also names the model."""

    def __init__(
        self,
        name: str | None = None,
        *args: Any,
        weights: str | None = None,
        init_cfg: Any = None,
        extra_levels: int = 0,
        **options: Any,
    ) -> None:
        if weights is not None:
            architecture = _shape_of(weights, TimmArchitecture)
            if name is not None:
                agreed({"name": architecture.name}, {"name": name.removeprefix("timm:")}, weights)
            name, options = architecture.name, architecture.options(options, weights)
        if name is None:
            raise NaswildError("TimmBackbone needs name= (a timm model) or weights= (a weights file)")
        super().__init__(name, *args, **options)
        self._prepare(init_cfg, weights, extra_levels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """The levels of ``out_indices``, then those of ``extra_levels``."""
        return self._extended(super().forward(x))


def _shape_of(weights: str, kind: type) -> Any:
    architecture = read_metadata(weights).architecture
    if not isinstance(architecture, kind):
        other = "TimmBackbone" if kind is CellArchitecture else "CellBackbone"
        raise NaswildError(f"{weights} holds a network of the other kind: use type={other!r}")
    return architecture
