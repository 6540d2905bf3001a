"""The one place where torchreid is imported."""

from __future__ import annotations

import warnings
from types import ModuleType

from nas.errors import require


def load_torchreid() -> ModuleType:
    """torchreid, without its remark that its Cython ranking was not compiled: this project has its own ranking.

    Raises :class:`nas.errors.MissingExtra` if it is not installed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Cython evaluation .* is unavailable", category=UserWarning)
        return require("torchreid", "reid")
