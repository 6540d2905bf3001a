"""The finder by which ``import mmcv._ext`` works with ``mmcv-lite``, which ships mmcv without its compiled extension.

An installation runs this file when Python starts, from ``naswild_mmcv.pth`` (see :mod:`backbones.packaging`): mmdet
imports ``mmcv.ops`` before it reads the ``custom_imports`` of a config, so nothing that we import later is in time.
Hence it imports nothing, and must not fail. The operations are loaded when mmcv asks for them. The finder is last
in ``sys.meta_path``: a compiled ``mmcv._ext`` is found before it.
"""

import sys

TYPE_CHECKING = False  # typing itself would cost each start of Python milliseconds
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class MmcvExtensionFinder:
    """Finds ``mmcv._ext`` in :mod:`backbones.mmcv_ext`, and nothing else."""

    def find_spec(
        self,
        fullname: str,
        path: "Sequence[str] | None" = None,  # noqa: ARG002  (the protocol of meta path finders)
        target: "ModuleType | None" = None,  # noqa: ARG002
    ) -> "ModuleSpec | None":
        """Return the spec of ``mmcv._ext``; ``None`` for other names, and if this package is no longer there."""
        if fullname != "mmcv._ext":
            return None
        try:
            from backbones.mmcv_ext import specification
        except ModuleNotFoundError as error:
            if error.name == "backbones":
                return None
            if error.name == "backbones.mmcv_ext":
                place = list(sys.modules["backbones"].__path__)
                message = (
                    f"mmcv._ext comes from naswild's package `backbones`, but another one is imported from {place}"
                )
                raise ImportError(f"{message}; start Python in another folder or rename that package") from error
            raise
        return specification()


def install() -> None:
    """Add the finder after all others, unless one of its name is there (Python's start may have put it)."""
    if not any(type(finder).__name__ == "MmcvExtensionFinder" for finder in sys.meta_path):
        sys.meta_path.append(MmcvExtensionFinder())
