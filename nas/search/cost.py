"""What a stage costs: wall time over all attempts, and the peak of the memory while it ran."""

from __future__ import annotations

import time
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class CostMeter:
    """Seconds and peak memory since the meter was made, added to what earlier attempts of the same stage measured."""

    def __init__(self, device: torch.device, seconds: float = 0.0, peak: int = 0) -> None:
        self.device, self._seconds, self._peak = device, seconds, peak
        self._start = time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self._measures = device.type == "cuda" or reset_peak_memory()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds, earlier attempts included."""
        return self._seconds + time.perf_counter() - self._start

    @property
    def peak_memory(self) -> int | None:
        """Peak bytes: allocated on the GPU, or resident in the process on a CPU; None where nothing can tell.

        Nothing can where the system keeps no record, or does not let it start again at the beginning of the stage.
        """
        if self.device.type == "cuda":
            return max(self._peak, torch.cuda.max_memory_allocated(self.device))
        if not self._measures:
            return None
        line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return max(self._peak, 1024 * int(line.split()[1]))


def reset_peak_memory() -> bool:
    """Let the system's record of this process's peak (VmHWM) start again from here; whether it does.

    Containers may have no /proc, or one that cannot be written to.
    """
    try:
        _CLEAR.write_text("5", encoding="ascii")
        return "VmHWM:" in _STATUS.read_text(encoding="ascii")
    except OSError:
        return False
