"""Merging run directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.merge import Merged, merge_results
from benchmarks.store import Result, load_results, save_result
from nas.errors import NaswildError

MakeResult = Callable[..., Result]


def _with_weights(run_dir: Path, result: Result, name: str = "weights/a.txt") -> Result:
    (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (run_dir / name).write_text("weights")
    result = result.model_copy(update={"artifacts": {"weights": name}})
    save_result(run_dir, result)
    return result


def test_new_results_come_with_their_files_and_known_ones_stay(tmp_path: Path, make_result: MakeResult) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    known = make_result("a" * 12)
    save_result(ours, known)
    save_result(theirs, known)
    new = _with_weights(theirs, make_result("b" * 12))
    assert merge_results(ours, theirs) == Merged(added=1, known=1)
    assert load_results(ours) == [known, new]
    assert (ours / "weights/a.txt").read_text() == "weights"


def test_contradictions_are_listed_and_nothing_is_copied(tmp_path: Path, make_result: MakeResult) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    save_result(ours, make_result("a" * 12, value=0.5))
    save_result(theirs, make_result("a" * 12, value=0.25))
    save_result(theirs, make_result("b" * 12))
    with pytest.raises(NaswildError, match=r"top1 0\.5 here, top1 0\.25 there"):
        merge_results(ours, theirs)
    assert len(load_results(ours)) == 1


def test_a_result_may_not_name_files_outside_its_run_directory(tmp_path: Path, make_result: MakeResult) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    _with_weights(theirs, make_result("b" * 12), name="../secret.txt")
    with pytest.raises(NaswildError, match="outside its run directory"):
        merge_results(tmp_path / "ours", theirs)
