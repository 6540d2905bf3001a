"""Suites: every key validated, errors with lines and near matches."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.suite import BackboneEntry, load_suite, suite_names
from nas.errors import NaswildError, UnknownName


def _load(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    load_suite(str(path))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("darts_v2", "zoo"),
        ("timm:resnet18", "timm"),
        ("weights/a.safetensors", "weights"),
        ("cells/mine.json", "genotype"),
        ("mine.yaml", "genotype"),
    ],
)
def test_short_forms_of_backbones(text: str, source: str) -> None:
    assert BackboneEntry.model_validate(text).source == source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: s\nbackbones:\n  - a\n  - {zoo: a, timm: b}\n",
            r"s.yaml:4: backbones.1: .*exactly one.*found zoo, timm",
        ),
        ("name: s\nbackbones:\n  - search:\n      methd: pdarts\n      on: digits\n", r"s.yaml:4: .*'method'"),
        ("name: s\nbackbons: [a]\n", r"s.yaml:2: backbons: unknown key; did you mean 'backbones'"),
        ("name: s\nbackbones: [a]\nseeds: [1, 1]\n", r"s.yaml:3: seeds: a seed is listed twice"),
        ("name: s\nbackbones: [a]\ntasks:\n  - {task: t, data: d, parts: [1.5]}\n", r"s.yaml:4: tasks.0.parts: "),
        ("name: s\nbackbones: [a]\ndata:\n  d: {seed: 1}\n", r"s.yaml:4: data.d: data needs one of made, proxy, root"),
    ],
)
def test_errors_point_at_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NaswildError, match=message):
        _load(tmp_path, text)


def test_an_unknown_suite_gives_near_matches() -> None:
    with pytest.raises(UnknownName, match="did you mean 'mini'"):
        load_suite("mni")


@pytest.mark.parametrize("name", suite_names())
def test_every_packaged_suite_loads_under_its_name(name: str) -> None:
    assert load_suite(name)[0].name == name
