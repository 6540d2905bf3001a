"""Numbers of another group: read from CSV and JSON, checked line by line, shown marked and never mixed silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic import mini_results

from benchmarks.merge import add_reported
from benchmarks.publish import current_results
from benchmarks.render.csv import results_to_csv
from benchmarks.reported import is_reported, read_reported
from benchmarks.store import load_results, save_result
from benchmarks.tables.build import build_tables
from benchmarks.tables.measurements import MixedProtocols
from nas.errors import NaswildError

HEAD = "kind,task,backbone,metric,value,variant,protocol\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_lines_of_one_network_become_one_result(tmp_path: Path) -> None:
    text = HEAD + "reid,market1501,theirs,rank1,0.93,parts=3,pcb\nreid,market1501,theirs,mAP,0.81,parts=3,pcb\n"
    (result,) = read_reported(write(tmp_path / "theirs.csv", text))
    assert {name: metric.value for name, metric in result.metrics.items()} == {"rank1": 0.93, "mAP": 0.81}
    assert result.variant == {"parts": 3}
    assert result.backbone.kind == "file"
    assert is_reported(result)


def test_a_runs_own_csv_reads_back_with_its_keys(tmp_path: Path) -> None:
    results = [result for result in mini_results() if result.kind != "search"]
    path = write(tmp_path / "results.csv", results_to_csv(results))
    back = {result.key: result for result in read_reported(path)}
    assert back.keys() == {result.key for result in results}
    for result in results:
        found = back[result.key]
        assert {n: m.value for n, m in found.metrics.items()} == {n: m.value for n, m in result.metrics.items()}
        assert found.protocol_hash == result.protocol_hash
        assert found.backbone.macs == result.backbone.macs


def test_json_takes_lines_and_whole_results(tmp_path: Path) -> None:
    line = {"kind": "classify", "task": "cifar10", "backbone": "x", "metric": "top1", "value": 0.97}
    whole = mini_results()[1].model_dump(mode="json")
    found = read_reported(write(tmp_path / "a.json", json.dumps([line, whole])))
    assert [result.task for result in found] == ["digits", "cifar10"]
    assert all(is_reported(result) for result in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "reid,market1501,x,mAP,high,,\n", r"theirs.csv:2: value: .*'high'"),
        (HEAD + "reid,market1501,x,mAP,,,\n", r"theirs.csv:2: value: Field required"),
        (HEAD + "reid,market1501,x,mAP,nan,,\n", r"theirs.csv:2: value: "),
        (HEAD + "reid,m,x,mAP,0.1,,\nreid,m,x,mAP,0.2,,\n", "has a metric twice"),
        (HEAD, "holds no results"),
    ],
)
def test_mistakes_name_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NaswildError, match=message):
        read_reported(write(tmp_path / "theirs.csv", text))


def test_broken_json_and_other_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match=r"a\.json:1: not valid JSON"):
        read_reported(write(tmp_path / "a.json", "[{]"))
    with pytest.raises(NaswildError, match=r"give a \.csv or \.json file"):
        read_reported(tmp_path / "a.xlsx")


def test_they_join_the_tables_of_a_run_in_their_own_setting(tmp_path: Path) -> None:
    for result in mini_results():
        save_result(tmp_path, result)
    (tmp_path / "current.json").write_text(json.dumps({"suite": "mini", "keys": [r.key for r in mini_results()]}))
    path = write(tmp_path / "theirs.csv", HEAD + "classify,digits,theirs,top1,0.99,,their-recipe\n")
    assert add_reported(tmp_path, path).added == 1
    assert add_reported(tmp_path, path).known == 1
    results = current_results(tmp_path)
    assert sum(is_reported(result) for result in results) == 1
    with pytest.raises(MixedProtocols):
        build_tables(results)
    (table,) = [table for table in build_tables(results, allow_mixed=True) if table.name == "classification"]
    row = next(row for row in table.rows() if row.cells["name"].text == "theirs")
    assert any(mark for cell in row.cells.values() for mark in cell.marks)
    assert any("their-recipe" in note.text for note in table.notes)


def test_a_contradiction_is_refused_and_nothing_is_added(tmp_path: Path) -> None:
    results = [result for result in mini_results() if result.kind == "classify"]
    save_result(tmp_path, results[0])
    text = results_to_csv(results).replace(repr(results[0].metrics["top1"].value), "0.123")
    with pytest.raises(NaswildError, match="contradicts"):
        add_reported(tmp_path, write(tmp_path / "theirs.csv", text))
    assert len(load_results(tmp_path)) == 1
