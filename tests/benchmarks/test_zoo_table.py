"""docs/cells.md says what the counter says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.zoo_table import Row, build_rows, count_cell, markdown
from nas import build_network, count, zoo

FILE = Path(__file__).parents[2] / "docs" / "cells.md"
SOME = ("pdarts_cifar10", "amoebanet_a", "nasnet_a", "tenas_imagenet")


def table(text: str) -> dict[str, dict[str, str]]:
    """Cell name -> heading -> entry."""
    head, _, *rows = (line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {row[0].strip("`"): dict(zip(head, row, strict=True)) for row in rows}


def test_the_document_has_every_cell_with_its_parameters() -> None:
    written = table(FILE.read_text(encoding="utf-8"))
    assert list(written) == list(zoo.names())
    for name, row in written.items():
        with torch.device("meta"):
            network = build_network(name, "imagenet", num_classes=1000)
        assert row["Params"] == f"{sum(p.numel() for p in network.parameters()) / 1e6:.3f}", name
        assert float(row["ms"]) > 0


@pytest.mark.parametrize("name", SOME)
def test_its_multiply_adds_are_the_counter_s_at_each_true_size(name: str) -> None:
    from backbones import CellBackbone

    written = table(FILE.read_text(encoding="utf-8"))[name]
    with torch.device("meta"):
        network, backbone = build_network(name, "imagenet", num_classes=1000), CellBackbone(name)
    assert written["as in Table 3"] == f"{count(network, 224, 'paper').macs / 1e6:,.1f}"
    found = {"224": count(network, 224), "320": count(backbone, 320), "512": count(backbone, 512)}
    found["256x128"] = count(backbone, (256, 128))
    for size, counted in found.items():
        assert written[f"MACs {size}"] == f"{counted.macs / 1e6:,.1f}", size


def test_published_numbers_stand_beside_with_their_source() -> None:
    text = markdown([count_cell("pdarts_cifar10"), count_cell("darts_minus_cifar10")])
    (row, other) = (line for line in text.splitlines() if line.startswith("| `"))
    assert row.endswith("| 4.9 | 557 | 24.4 | 2.5 | 1 |")
    assert other.endswith("|  |  |  |  |  |")
    assert "1. P-DARTS journal paper" in text
    assert " ms |" not in text


def test_latency_is_measured_on_one_thread_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr("benchmarks.zoo_table.count_cell", lambda name: Row(name, 1, 1, 1, (1, 1, 1)))
    monkeypatch.setattr("benchmarks.zoo_table.measure_cell", lambda _: threads.append(torch.get_num_threads()) or 7.4)
    told: list[str] = []
    (row,) = build_rows(["darts_v2"], latency=True, note=told.append)
    assert (row.milliseconds, threads, told) == (7.4, [1], ["darts_v2"])
    assert "| 7 |" in markdown([row])
