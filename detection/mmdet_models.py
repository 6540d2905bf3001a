"""Everything this package adds to mmdet's registries, by one import.

In a config: ``custom_imports = dict(imports=["detection.mmdet_models"])``. It brings
``SSD`` (detector), ``CocoFormatDataset``, ``CountVisits`` (sampler), ``FastCocoMetric``, the hooks ``ExactRandomness``,
``ZoomOutFill`` and ``RunGuard``, and the backbones ``CellBackbone`` and ``TimmBackbone``.
"""

from __future__ import annotations

from backbones.mmdet_import import prepare

prepare()

from backbones import mmdet_models  # noqa: E402, F401
from detection import dataset, fill, guard, hooks, metric, ssd, visits  # noqa: E402, F401
