"""All backbones over all target data sets: the scores that ranks are made from, and what the ranks say.

A backbone takes part if it was measured on every target data set; nothing is filled in, and those that are left out are
named. The random cells take part as one backbone, their mean. A data set counts once: its variants (numbers of parts,
input sizes) are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.statistics.ranks import RankTest, rank_test
from benchmarks.statistics.relative import Matrix
from benchmarks.tables.measurements import Measurements
from benchmarks.transfer import Unit, targets

RANDOM = "random cells, mean"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scores (backbones, data sets), higher better, and the ranks in them.

    ``relative`` holds for each backbone its runs (runs, data sets) as ratios to the mean random cell; empty without
    random cells. ``incomplete`` are the backbones that lack a data set.
    """

    names: tuple[str, ...]
    data_sets: tuple[str, ...]
    scores: Matrix
    test: RankTest
    relative: Mapping[str, Matrix]
    incomplete: tuple[str, ...]


@lru_cache(maxsize=2)
def compare_backbones(measured: Measurements) -> Comparison | None:
    """Compare all backbones; None below three complete backbones or two data sets."""
    groups = targets(measured)
    if not groups:
        return None
    found = {name: _runs(measured, name, groups) for name in _names(measured)}
    complete = {name: runs for name, runs in found.items() if len(runs)}
    scores = np.array([runs.mean(axis=0) for runs in complete.values()])
    test = rank_test(scores)
    if test is None:
        return None
    base = complete[RANDOM].mean(axis=0) if RANDOM in complete else np.zeros(1)
    relative = {name: _ratio(runs, base) for name, runs in complete.items()} if base.all() else {}
    incomplete = tuple(name for name, runs in found.items() if not len(runs))
    return Comparison(tuple(complete), tuple(groups), scores, test, relative, incomplete)


def _ratio(runs: Matrix, base: Matrix) -> Matrix:
    """Runs relative to the mean random cell, above 1 if better; scores of a metric that should be low are negative."""
    return np.where(base > 0, runs / base, base / np.where(runs == 0, np.nan, runs))


def _names(measured: Measurements) -> list[str]:
    names = [name for name, backbone in measured.backbones.items() if backbone.kind != "random"]
    return [*names, RANDOM] if len(names) < len(measured.backbones) else names


def _runs(measured: Measurements, name: str, groups: Mapping[str, Sequence[Unit]]) -> Matrix:
    """One row for each run of a backbone that has all data sets, (runs, data sets); none if there is no such run."""
    wanted = [n for n, b in measured.backbones.items() if (b.kind == "random" if name == RANDOM else n == name)]
    columns = []
    for units in groups.values():
        for task, setting in units:
            metric = measured.primary(task)
            sign = 1.0 if measured.higher_is_better(task, metric) else -1.0
            columns.append(
                {
                    (backbone, result.backbone.search_seed, result.seed): sign * result.metrics[metric].value
                    for backbone in wanted
                    for result in measured.of(task, setting, backbone)
                    if metric in result.metrics
                }
            )
    runs = sorted(set.intersection(*map(set, columns)), key=str)
    table = np.array([[column[run] for column in columns] for run in runs]).reshape(len(runs), len(columns))
    ends = np.cumsum([len(units) for units in groups.values()])
    return np.stack([part.mean(axis=1) for part in np.split(table, ends[:-1], axis=1)], axis=1)
