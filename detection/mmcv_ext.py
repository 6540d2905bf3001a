"""Answers the import of ``mmcv._ext`` when no compiled one is installed (mmcv does not build against current PyTorch).

``mmcv-lite`` ships mmcv without its compiled extension, and ``import mmcv.ops`` then fails. The finder below stands
last in ``sys.meta_path``: a compiled ``mmcv._ext`` is found before it and used; otherwise the module is made from
:mod:`detection.mmcv_ops`. Nothing is imported until mmcv asks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = "mmcv._ext"


class TorchvisionExtension(Loader, MetaPathFinder):
    """Finder and loader of the module that stands in for mmcv's compiled extension."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  (the protocol of meta path finders)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """A spec for ``mmcv._ext`` and for nothing else."""
        return ModuleSpec(fullname, self, origin="detection.mmcv_ops") if fullname == NAME else None

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module: the exact operations by name, and for any other name a function that says it is missing."""
        operations = import_module("detection.mmcv_ops")
        module.__dict__.update(operations.OPERATIONS)
        module.__dict__["__getattr__"] = operations.missing_operation


def install() -> None:
    """Stand at the end of the import system's finders, once."""
    if not any(isinstance(finder, TorchvisionExtension) for finder in sys.meta_path):
        sys.meta_path.append(TorchvisionExtension())
