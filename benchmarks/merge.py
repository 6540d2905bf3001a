"""Bringing results from elsewhere into a run directory: another machine's runs, or another group's numbers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reported import read_reported
from benchmarks.store import Result, load_results, save_result
from nas.errors import NaswildError


@dataclass(frozen=True)
class Merged:
    """What a merge did: results that came in, and results that were there already with the same numbers."""

    added: int
    known: int


def merge_results(run_dir: Path, other: Path) -> Merged:
    """Copy the results of ``other`` and what they left (weights, genotypes, pictures) into ``run_dir``.

    A job that was run in both places must have come to the same numbers; its cost may differ.

    Raises:
        NaswildError: results that contradict each other, all of them listed; then nothing has been copied.
    """
    theirs = load_results(other)
    if not theirs:
        raise NaswildError(f"{other} has no results")
    new = _new_results(run_dir, other, theirs)
    for result in new:
        _copy_artifacts(result, other, run_dir)
        save_result(run_dir, result)
    return Merged(len(new), len(theirs) - len(new))


def add_reported(run_dir: Path, file: Path) -> Merged:
    """Take in the results of another group's CSV or JSON file (:mod:`benchmarks.reported`); they stay marked as such.

    Raises:
        NaswildError: a file or a line that cannot be read, or numbers that contradict what is there already.
    """
    theirs = read_reported(file)
    new = _new_results(run_dir, file, theirs)
    for result in new:
        save_result(run_dir, result)
    return Merged(len(new), len(theirs) - len(new))


def _new_results(run_dir: Path, other: Path, theirs: Sequence[Result]) -> list[Result]:
    """Those of ``theirs`` that ``run_dir`` does not have; raises :class:`NaswildError` for contradictions."""
    ours = {result.key: result for result in load_results(run_dir)}
    contradictions = [result for result in theirs if result.key in ours and result.metrics != ours[result.key].metrics]
    if contradictions:
        lines = "\n".join(f"  {it.job}: {_numbers(ours[it.key])} here, {_numbers(it)} there" for it in contradictions)
        raise NaswildError(f"{other} contradicts {run_dir}; nothing was copied:\n{lines}")
    return [result for result in theirs if result.key not in ours]


def _numbers(result: Result) -> str:
    return ", ".join(f"{name} {metric.value:.4g}" for name, metric in result.metrics.items())


def _copy_artifacts(result: Result, source: Path, target: Path) -> None:
    """Copy the files a result names; it may not name any outside its run directory.

    Raises:
        NaswildError: a path that leads out of the run directory, or a file that is gone.
    """
    for name in result.artifacts.values():
        path = (source / name).resolve()
        if not path.is_relative_to(source.resolve()):
            raise NaswildError(f"{result.job} names a file outside its run directory: {name}")
        if not path.is_file():
            raise NaswildError(f"{result.job}: {path} is gone; copy the whole run directory")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
