"""The mmdet config of a backbone, with a recipe's options: levels, freezing, normalisation, drop path."""

from __future__ import annotations

from typing import Any

from backbones import mmdet_config
from backbones.metadata import CellArchitecture, TimmArchitecture
from backbones.source import parse_source
from backbones.weights import read_metadata
from detection.recipe import DetectRecipe
from nas.errors import NaswildError


def backbone_config(source: Any, recipe: DetectRecipe, pretrained: bool = True) -> dict[str, Any]:
    """The config of ``source``: weights file, name of the zoo, genotype (value, file, text), or timm model.

    Without ``pretrained`` only the architecture of a weights file is used, which starts from random weights.

    The types ``CellBackbone`` and ``TimmBackbone`` come from :mod:`backbones.mmdet_models`.
    """
    found = parse_source(source)
    options: dict[str, Any] = {
        "channels": recipe.shape.channels,
        "cells": recipe.shape.cells,
        "out_indices": recipe.shape.levels,
        "frozen_stages": recipe.frozen_stages,
        "norm_eval": recipe.norm_eval,
        "norm": recipe.norm,
        "checkpointing": recipe.checkpointing,
        "drop_path": recipe.drop_path,
    }
    if found.kind == "weights" and not pretrained:
        source, shape = _untrained(found.value)
        options |= shape
    return mmdet_config.backbone_config(source, **options)


def _untrained(weights: Any) -> tuple[Any, dict[str, Any]]:
    """The network of a weights file as another source, with its size."""
    architecture = read_metadata(weights).architecture
    if isinstance(architecture, TimmArchitecture):
        return f"timm:{architecture.name}", architecture.kwargs
    if not isinstance(architecture, CellArchitecture):
        raise NaswildError(f"{weights} holds a network for re-identification, which is not a backbone of a detector")
    shape = architecture.shape
    return shape.pop("genotype"), shape
