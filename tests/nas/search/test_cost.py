"""The peak of a stage's memory, where the system can tell it and where it cannot."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from nas.search import cost
from nas.search.cost import CostMeter

CPU = torch.device("cpu")


@pytest.mark.skipif(not cost._CLEAR.exists(), reason="no /proc")
def test_the_peak_is_of_the_time_since_the_meter_was_made() -> None:
    held = mmap.mmap(-1, 2**27)  # given back when it is closed, which the C library's heap need not do
    held.write(b"x" * 2**27)
    before = CostMeter(CPU).peak_memory
    held.close()
    after = CostMeter(CPU).peak_memory
    assert before is not None and after is not None
    assert before - after > 2**26


@pytest.mark.parametrize("lacking", ["/proc", "permission", "record"])
def test_a_system_that_cannot_tell_is_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: str) -> None:
    status, clear = tmp_path / "status", tmp_path / "clear_refs"
    if lacking == "permission":  # a folder: it can be opened for writing by nobody, not even by root
        clear.mkdir()
        status.write_text("VmHWM:\t1 kB\n")
    elif lacking == "record":
        clear.touch()
        status.write_text("Name:\tpython\n")
    monkeypatch.setattr(cost, "_CLEAR", tmp_path / "nothing" / "clear_refs" if lacking == "/proc" else clear)
    monkeypatch.setattr(cost, "_STATUS", status)
    meter = CostMeter(CPU)
    assert meter.peak_memory is None
    assert meter.seconds >= 0
