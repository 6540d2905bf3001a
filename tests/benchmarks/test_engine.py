"""The local engine: slots, devices, and what it says of processes that die."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import engine
from benchmarks.engine import LocalEngine
from benchmarks.worker import RunContext
from nas.errors import NaswildError, UnknownName


@pytest.fixture
def local(tmp_path: Path) -> LocalEngine:
    return LocalEngine(RunContext("suite", tmp_path), slots=2)


def _pair(first: int, second: int) -> tuple[int, int, bool]:
    return first, second, os.environ["OMP_NUM_THREADS"] == "1"


def _fail() -> None:
    raise UnknownName("unknown thing")


def test_a_call_runs_in_another_process_with_one_thread(local: LocalEngine) -> None:
    assert local.call(_pair, 1, 2) == (1, 2, True)


def test_a_call_raises_what_the_function_raised(local: LocalEngine) -> None:
    with pytest.raises(UnknownName, match="unknown thing"):
        local.call(_fail)


def test_a_call_whose_process_dies_says_so(local: LocalEngine) -> None:
    with pytest.raises(NaswildError, match=r"^posix._exit got no result .*: its process ended with exit code 3$"):
        local.call(os._exit, 3)


class _NotPortable(Exception):
    """Two arguments to make, one when pickled: as an error of a library may be."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def _fail_in_a_library() -> None:
    raise _NotPortable("no", "luck")


def test_a_call_says_where_a_librarys_error_was_raised(local: LocalEngine) -> None:
    with pytest.raises(RuntimeError, match="_NotPortable: no luck") as raised:
        local.call(_fail_in_a_library)
    assert "in _fail_in_a_library" in str(raised.value.__cause__)


def test_a_call_is_made_in_the_folder_of_the_run(tmp_path: Path) -> None:
    engine = LocalEngine(RunContext("suite", tmp_path, folder=tmp_path), slots=1)
    assert engine.call(os.getcwd) == str(tmp_path.resolve())


@pytest.mark.parametrize(("value", "devices"), [("2,5", ["2", "5"]), ("", []), ("-1", [])])
def test_jobs_are_given_only_devices_that_the_user_left_visible(
    monkeypatch: pytest.MonkeyPatch, value: str, devices: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert engine.visible_devices() == devices


def test_without_cards_there_is_a_slot_for_each_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(engine, "processors", lambda: [0, 1, 2])
    assert engine.default_slots() == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert engine.default_slots() == 1
