"""SSD, and any other mmdet detector, on COCO-format data with our backbones; evaluated by COCO's twelve numbers.

Public face: :func:`run_detection`, :class:`DetectRecipe`, :class:`CocoData`, :func:`make_digits_coco`,
:func:`check_coco`.
"""

from __future__ import annotations

import runpy
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detection.check import check_coco
    from detection.compose import make_digits_coco
    from detection.data import CocoData
    from detection.recipe import DetectRecipe
    from detection.train import DetectOutcome, run_detection

# mmcv's operations are found also where Python did not read our .pth file (a checkout on PYTHONPATH). The finder is run
# by its path: importing the package `backbones` would import torch.
runpy.run_path(str(Path(__file__).parents[1] / "backbones" / "mmcv_finder.py"))["install"]()

# Resolved on first use: the command line's help must not pay for torch (PEP 562).
_HOME = {
    "CocoData": "detection.data",
    "DetectOutcome": "detection.train",
    "DetectRecipe": "detection.recipe",
    "check_coco": "detection.check",
    "make_digits_coco": "detection.compose",
    "run_detection": "detection.train",
}

__all__ = ["CocoData", "DetectOutcome", "DetectRecipe", "check_coco", "make_digits_coco", "run_detection"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'detection' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
