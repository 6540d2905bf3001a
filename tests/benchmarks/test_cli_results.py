"""``naswild results``: list, show, compare, add, merge, as a user types them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from synthetic import mini_results
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.items import save_items
from benchmarks.publish import current_results
from benchmarks.render.csv import results_to_csv
from benchmarks.store import save_result

COMMANDS = ("list", "show", "compare", "add", "merge")


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``runs/mini`` below the working directory, with scores of single images of the two published cells."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "runs" / "mini"
    for number, result in enumerate(mini_results()):
        if result.kind == "classify":
            scores = [float(index % 7 < 5 + number % 2) for index in range(60)]
            kept = save_items(folder, result.job, {"top1": scores})
            result = result.model_copy(
                update={"artifacts": {name: str(path.relative_to(folder)) for name, path in kept.items()}}
            )
        save_result(folder, result)
    return folder


def naswild(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    assert f"naswild results {command}" in naswild("results", command, "--help")


def test_compare_prints_the_difference_with_its_interval(run_dir: Path) -> None:
    assert run_dir.is_dir()
    output = naswild("results", "compare", "mini", "pdarts_cifar10", "darts_v2")
    assert "digits" in output
    assert "95 % interval over the n images" in output
    assert "60" in output


def test_compare_without_names_ranks_all_backbones(run_dir: Path) -> None:
    output = naswild("results", "compare", str(run_dir))
    assert "Mean rank" in output
    assert "random cells, mean" in output
    alone = CliRunner().invoke(app, ["results", "compare", "mini", "darts_v2"])
    assert "darts_v2 alone cannot be compared" in str(alone.exception)


def test_a_table_of_chosen_columns(run_dir: Path) -> None:
    printed = naswild("table", str(run_dir), "--columns", "AP50, Params", "--format", "markdown")
    head = next(line for line in printed.splitlines() if "AP50 (%)" in line)
    assert "Params (M)" in head
    assert "Backbone" in head
    assert "AP75" not in printed
    wrong = CliRunner().invoke(app, ["table", "mini", "--columns", "AP5O"])
    assert "AP50" in str(wrong.exception)


def test_csv_is_the_tables_and_has_the_papers_rows(run_dir: Path) -> None:
    """Table 4's last row, P-DARTS (ImageNet) with SSD512: 34.1 AP."""
    measured, both = (
        list(csv.DictReader(io.StringIO(naswild("table", str(run_dir), *more, "--format", "csv"))))
        for more in ((), ("--published",))
    )
    assert {row["table"] for row in measured} >= {"classification", "detection", "reid", "search"}
    assert not any(row["source"] for row in measured)
    theirs = [row for row in both if row["source"] == "P-DARTS (journal version), Table 4"]
    assert (theirs[-1]["name"], theirs[-1]["coco_AP"]) == ("P-DARTS (ImageNet)", "34.1")
    assert len(theirs) == 12
    chosen = naswild("table", str(run_dir), "--columns", "AP50", "--published", "--format", "csv").splitlines()
    assert "coco_AP50" in chosen[0].split(",")
    assert "coco_AP75" not in chosen[0].split(",")


def test_long_form_is_results_csv_and_refuses_what_it_cannot_show(run_dir: Path) -> None:
    assert naswild("table", str(run_dir), "--format", "long") == results_to_csv(current_results(run_dir))
    for more in (["--published"], ["--columns", "AP"]):
        refused = CliRunner().invoke(app, ["table", str(run_dir), "--format", "long", *more])
        assert refused.exit_code == 2
        assert "for tables take" in refused.output


def test_added_numbers_are_listed_and_shown_in_the_table(run_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "theirs.csv"
    file.write_text("kind,task,backbone,metric,value\nclassify,digits,theirs,top1,0.99\n")
    assert "1 added, 0 known already" in naswild("results", "add", str(run_dir), str(file))
    assert "theirs" in naswild("results", "list", "mini", "theirs")
    assert "theirs" in naswild("table", "mini", "--format", "markdown")
