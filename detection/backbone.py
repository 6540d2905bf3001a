"""From whatever names a backbone to the config that mmdet builds it from."""

from __future__ import annotations

from typing import Any

import timm

from backbones.metadata import CellArchitecture
from backbones.weights import is_weights_file, read_metadata
from detection.recipe import DetectRecipe
from nas import zoo
from nas.errors import unknown
from nas.genotype import Genotype

_TIMM = "timm:"


def backbone_config(source: Any, recipe: DetectRecipe) -> dict[str, Any]:
    """The mmdet config of ``source``: weights file, name of the zoo, genotype (value, file, text), or timm model.

    The types ``CellBackbone`` and ``TimmBackbone`` come from :mod:`backbones.mmdet_models`.
    """
    options = {
        "out_indices": recipe.shape.levels,
        "frozen_stages": recipe.frozen_stages,
        "norm_eval": recipe.norm_eval,
        "norm": recipe.norm,
        "checkpointing": recipe.checkpointing,
        "drop_path": recipe.drop_path,
    }
    if is_weights_file(source):
        is_cell = isinstance(read_metadata(source).architecture, CellArchitecture)
        return {"type": "CellBackbone" if is_cell else "TimmBackbone", "weights": str(source), **options}
    if isinstance(source, str) and source not in zoo.names():
        if source.startswith(_TIMM) or timm.is_model(source):
            return {"type": "TimmBackbone", "name": source.removeprefix(_TIMM), **options}
        if source.isidentifier():
            raise unknown("backbone", source, [*zoo.names(), *timm.list_models()])
    size = {"channels": recipe.shape.channels, "cells": recipe.shape.cells}
    return {"type": "CellBackbone", "genotype": Genotype.load(source).to_text(), **size, **options}
