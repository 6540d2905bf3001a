"""A small suite of toy jobs, written where a test wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
