"""YAML whose errors point at the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from benchmarks.yamlfile import read_yaml, validate
from nas.errors import NaswildError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    epochs: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    parts: list[Inner] = []


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: a\nparts:\n  - epochs: 1\n  - epocs: 2\n",
            r"file.yaml:4: parts.1.epocs: unknown key; did you mean 'epochs'",
        ),
        ("name: a\nparts:\n  - epochs: many\n", r"file.yaml:3: parts.0.epochs: .*integer.* \(given: 'many'\)"),
        ("name: a\nepochs: 1\n", r"file.yaml:2: epochs: unknown key$"),  # right elsewhere, not here
        ("parts: []\n", r"file.yaml:1: name: this key is missing"),
        ("name: a\nname: b\n", r"file.yaml:2: key 'name' is given twice"),
        ("name: [a\n", r"file.yaml:2: not valid YAML"),
    ],
)
def test_an_error_names_file_line_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NaswildError, match=message):
        validate(Outer, read_yaml(_write(tmp_path, text)))


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(NaswildError) as caught:
        validate(Outer, read_yaml(_write(tmp_path, "nam: a\nparts: 3\n")))
    assert len(str(caught.value).splitlines()) == 3


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    text = "on: digits\nrate: 1e-3\nsmall: 2.5e-4\ntrue_value: true\nword: no\nwhole: 3\n"
    content = read_yaml(_write(tmp_path, text)).content
    assert content == {"on": "digits", "rate": 0.001, "small": 0.00025, "true_value": True, "word": "no", "whole": 3}


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")
