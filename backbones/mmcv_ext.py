"""The module ``mmcv._ext`` where mmcv's compiled extension is missing: the operations of :mod:`backbones.mmcv_ops`.

mmdet's own tools import it before anything else of ours, so it also lets them read the checkpoints that they write.
"""

from __future__ import annotations

from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = "mmcv._ext"


class TorchvisionLoader(Loader):
    """Fills ``mmcv._ext`` with operations on torchvision's kernels and plain PyTorch."""

    def exec_module(self, module: ModuleType) -> None:
        """Add the exact operations by name, and for any other name a function that says it is missing."""
        from backbones import mmcv_ops
        from backbones.mmengine_checkpoints import trust_mmengine_checkpoints

        trust_mmengine_checkpoints()
        module.__dict__.update(mmcv_ops.OPERATIONS)
        module.__dict__["__getattr__"] = mmcv_ops.missing_operation


def specification() -> ModuleSpec:
    """Return how ``mmcv._ext`` is made; asked for by :class:`backbones.mmcv_finder.MmcvExtensionFinder`."""
    return ModuleSpec(NAME, TorchvisionLoader(), origin="backbones.mmcv_ops")
