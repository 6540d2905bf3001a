"""How often a job was started and how long it ran over all attempts, kept on disk so that killed attempts count too."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from nas.files import atomic_write

# A killed attempt loses at most this much of its time from the record.
BEAT_SECONDS = 2.0


class Attempts:
    """The clock of one job, in ``<workdir>/attempts.json``: made when an attempt begins, told each step to ``beat``."""

    def __init__(self, workdir: Path, *, writes: bool = True) -> None:
        self._path = workdir / "attempts.json"
        self._writes = writes
        record = json.loads(self._path.read_text()) if self._path.exists() else {}
        self.count = int(record.get("attempts", 0)) + 1
        self._before = float(record.get("seconds", 0.0))
        self._start = time.perf_counter()
        self._last_beat = self._start
        self.save()

    @property
    def seconds(self) -> float:
        """Wall time of all attempts up to now."""
        return self._before + time.perf_counter() - self._start

    def beat(self) -> None:
        """Record the time, at most once in :data:`BEAT_SECONDS`."""
        if time.perf_counter() - self._last_beat >= BEAT_SECONDS:
            self.save()

    def save(self) -> None:
        """Record the time now."""
        self._last_beat = time.perf_counter()
        if self._writes:
            record = {"attempts": self.count, "seconds": round(self.seconds, 3)}
            atomic_write(self._path, json.dumps(record).encode())


def peak_memory_bytes(device: torch.device) -> int | None:
    """Largest memory so far: of tensors on a CUDA device, else resident memory of this process; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def device_name(device: torch.device, processes: int = 1) -> str:
    """What ran: the GPU's name, or "cpu" with its threads; with "N x " before it for several processes."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} thread(s)"
    return f"{processes} x {name}" if processes > 1 else name
