"""``naswild suite``: what there is, and a new file that runs unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.run import Options, prepare
from nas.errors import NaswildError


def naswild(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("command", ["list", "show", "new"])
def test_help_has_an_example(command: str) -> None:
    assert f"naswild suite {command}" in naswild("suite", command, "--help")


def test_list_names_every_suite_and_its_scales() -> None:
    lines = [line for line in naswild("suite", "list").splitlines() if line.strip().startswith("paper-table5")]
    assert lines
    assert lines[0].split()[-1] == "small"


def test_show_prints_the_file() -> None:
    assert naswild("suite", "show", "paper-depth").startswith("# Section 5.2.1")


def test_a_new_suite_plans_as_it_stands_and_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "my-suite.yaml"
    assert f"naswild run {file}" in naswild("suite", "new", str(file))
    plan = prepare(str(file), Options(), tmp_path / "run")
    assert plan.suite.name == "my-suite"
    assert {job.kind for job in plan.jobs} == {"data", "search", "classify", "reid"}
    with pytest.raises(NaswildError, match="exists already"):
        naswild("suite", "new", str(file))
