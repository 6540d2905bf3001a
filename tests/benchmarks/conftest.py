"""What several tests of the harness use: a small suite of toy jobs, and a result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.store import Backbone, Cost, Metric, Provenance, Result

SUITE = """\
name: toy
imports: [tests.benchmarks.toy]
backbones:
  - darts_v2
  - zoo: pdarts_cifar10
  - timm: resnet10t
tasks:
  - {{task: toy-train, data: number}}
  - task: toy-score
    data: number
    parts: [1, 3]
protocols: {{toy: {protocol}}}
seeds: [0]
data:
  number: {{made: toy-number, seed: 5}}
"""
PROTOCOL = """\
name: toy-protocol
version: 1
stage: toy
source: made up
recipe: {{steps: {steps}, sleep: {sleep}, fail: "{fail}"}}
"""


@pytest.fixture
def toy_suite(tmp_path: Path) -> Callable[..., Path]:
    def write(steps: int = 4, sleep: float = 0.0, fail: str = "") -> Path:
        protocol = tmp_path / "toy-protocol.yaml"
        protocol.write_text(PROTOCOL.format(steps=steps, sleep=sleep, fail=fail))
        path = tmp_path / "toy.yaml"
        path.write_text(SUITE.format(protocol=protocol))
        return path

    return write


@pytest.fixture
def make_result() -> Callable[..., Result]:
    return _result


def _result(key: str = "0123456789ab", value: float = 0.5) -> Result:
    return Result(
        key=key,
        suite="mini",
        job=f"classify-digits-{key}",
        kind="classify",
        task="digits",
        backbone=Backbone(name="darts_v2", kind="published"),
        protocol="retrain-mini",
        protocol_hash="cafe",
        protocol_version=1,
        seed=0,
        metrics={"top1": Metric(value=value, chance=0.1)},
        cost=Cost(seconds=1.0, device="cpu"),
        provenance=Provenance(
            versions={}, machine="test", data="digits", data_version="1", split="test", created="2025-01-01T00:00:00Z"
        ),
    )
