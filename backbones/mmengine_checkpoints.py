"""Reading mmengine's checkpoints with ``torch.load(weights_only=True)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nas.errors import NaswildError


def trust_mmengine_checkpoints() -> None:
    """Let ``torch.load(weights_only=True)``, the default, read the log history in mmengine's checkpoints."""
    from mmengine.logging import HistoryBuffer

    scalar: Any = np.float64(0).__reduce__()[0]
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    kinds = {type(np.dtype(kind)) for kind in (np.bool_, np.int32, np.int64, np.float32, np.float64)}
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            np.dtype,
            np.ndarray,
            *kinds,
            scalar,
            reconstruct,
            (scalar, "numpy.core.multiarray.scalar"),  # the same two under NumPy 1's name
            (reconstruct, "numpy.core.multiarray._reconstruct"),
            (_statistics_method, "builtins.getattr"),
        ]
    )


def _statistics_method(owner: object, name: str) -> Any:
    """What a checkpoint may ask of ``getattr``: a ``HistoryBuffer`` pickles its statistics as its own methods."""
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ("min", "max", "current", "mean"):
        return getattr(HistoryBuffer, name)
    raise NaswildError(f"a checkpoint asks for {name!r} of {owner!r}; refused as unsafe")
