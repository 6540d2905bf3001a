"""The result store: round trip, lookup, atomic writes, errors for damaged files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.speed.store import measure
from benchmarks.store import (
    SCHEMA_VERSION,
    Metric,
    Result,
    StoreError,
    find_result,
    load_results,
    read_result,
    save_result,
)
from benchmarks.tables.build import build_tables

MakeResult = Callable[..., Result]
FROZEN = Path(__file__).parent / "frozen"  # one result of each kind, by schema version
SLOW_MACHINE = 3  # a laptop under load may take this many times the limit of an idle one


def test_a_saved_result_loads_equal_and_is_found_by_its_key(tmp_path: Path, make_result: MakeResult) -> None:
    first, second = make_result("a" * 12), make_result("b" * 12, value=0.75)
    save_result(tmp_path, second)
    save_result(tmp_path, first)
    assert load_results(tmp_path) == [first, second]
    assert find_result(tmp_path, "b" * 12) == second
    assert find_result(tmp_path, "c" * 12) is None


def test_a_run_without_results_is_empty(tmp_path: Path) -> None:
    assert load_results(tmp_path) == []


@pytest.mark.parametrize("damage", ["", "{", '{"key": "x"}'])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path, damage: str, make_result: MakeResult) -> None:
    path = save_result(tmp_path, make_result())
    path.write_text(damage)
    with pytest.raises(StoreError, match=r"0123456789ab\.json: not a valid result .*delete the file"):
        load_results(tmp_path)


def test_a_result_of_a_newer_schema_is_refused(tmp_path: Path, make_result: MakeResult) -> None:
    path = save_result(tmp_path, make_result())
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(StoreError, match="schema version 99"):
        load_results(tmp_path)


def test_an_undefined_metric_cannot_be_stored_as_nan() -> None:
    with pytest.raises(ValidationError):
        Metric(value=float("nan"))


def test_a_suite_of_2000_results_and_a_large_store_stay_quick(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(tmp_path, many=6_000)
    seconds = [float(line.split()[-2]) for line in capsys.readouterr().out.splitlines() if line.endswith(" s")]
    assert len(seconds) == 4
    assert max(seconds) < 3 * SLOW_MACHINE


@pytest.mark.parametrize("path", sorted(FROZEN.glob("*.json")), ids=lambda path: path.stem)
def test_results_of_older_versions_still_load(path: Path, tmp_path: Path) -> None:
    """Files as earlier versions wrote them; none of them may ever be edited."""
    result = read_result(path)
    assert result.schema_version <= SCHEMA_VERSION
    assert result.job.endswith(result.key)
    save_result(tmp_path, result)
    assert load_results(tmp_path) == [result]


def test_older_results_still_make_tables() -> None:
    results = [read_result(path) for path in FROZEN.glob("*.json")]
    assert {table.name for table in build_tables(results)} >= {"classification", "detection", "reid", "search"}
