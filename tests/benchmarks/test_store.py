"""The result store: round trip, lookup, atomic writes, errors for damaged files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.store import Metric, Result, StoreError, find_result, load_results, save_result

MakeResult = Callable[..., Result]


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
