"""Results sorted into what a table needs: per column and backbone the values, never across two protocols.

A *column* is one task with its variant (``reid market1501 parts=3``). Its results must share one *setting*: protocol,
data version and split. If they do not, building a table is refused, or, where the reader asked for it, every setting
keeps its own values and its own random cells, and the cells are marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from benchmarks.statistics import Improvement, Summary, improvement, summarize, summarize_seeds
from benchmarks.statistics.relative import Matrix, Unit
from benchmarks.store import Backbone, Metric, Result
from benchmarks.tables.keys import PRIMARY, BestSearch, Point, Setting, Task, natural
from nas.errors import NaswildError

MetricOf = tuple[Task, Setting, str]  # one number of a network: a task, how it was measured, which metric


def held_out_accuracy(search: Result) -> float | None:
    """The accuracy that ended a search: of its supernet on the images that train the architecture, not the weights."""
    stages = search.details.get("stages") or [{}]
    trajectory = stages[-1].get("trajectory") or [{}]
    last = trajectory[-1]
    return last.get("validation_accuracy") or last.get("alphas_accuracy")


class MixedProtocols(NaswildError):
    """One column of a table would hold numbers of two settings."""


class Measurements:
    """All results of a comparison. ``allow_mixed`` admits several settings a task; they stay apart nevertheless."""

    def __init__(self, results: Iterable[Result], allow_mixed: bool = False) -> None:
        unique = {result.key: result for result in results}
        self.searches = [r for r in unique.values() if r.kind == "search"]
        self.results = [r for r in unique.values() if r.kind != "search"]
        self.backbones: dict[str, Backbone] = {}  # one record of each, in the order of first appearance
        self._cells: dict[tuple[Task, Setting], dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
        for result in self.results:
            self.backbones.setdefault(result.backbone.name, result.backbone)
            self._cells[Task.of(result), Setting.of(result)][result.backbone.name].append(result)
        self._search_seeds: dict[str, set[int | None]] = defaultdict(set)
        for result in unique.values():
            self._search_seeds[result.backbone.name].add(result.backbone.search_seed)
        self._settings: dict[Task, list[Setting]] = defaultdict(list)
        for task, setting in sorted(self._cells, key=lambda pair: pair[1]):
            self._settings[task].append(setting)
        self._points: dict[tuple[Task, Setting, str], dict[Point, float]] = {}
        if not allow_mixed:
            for task in self.tasks:
                self._refuse_mixed(task)

    @cached_property
    def tasks(self) -> list[Task]:
        """Every task that was measured, sorted."""
        return sorted(self._settings, key=lambda t: (t.kind, t.name, natural(t.variant)))

    def primary(self, task: Task) -> str:
        """The primary metric of a task; for a registered task the first that it reports."""
        if task.kind in PRIMARY:
            return PRIMARY[task.kind]
        return next(iter(self._first_result(task).metrics))

    def higher_is_better(self, task: Task, metric: str) -> bool:
        """Which way is better, as the results say."""
        found = (self.metric(task, setting, metric) for setting in self.settings(task))
        return next((record.higher_is_better for record in found if record is not None), True)

    def ranked(self, task: Task) -> list[Point]:
        """All networks on the primary metric, best first, in the first setting of the task."""
        metric = self.primary(task)
        points = self.points(task, self.settings(task)[0], metric)
        return sorted(points, key=lambda point: points[point], reverse=self.higher_is_better(task, metric))

    def _first_result(self, task: Task) -> Result:
        cells = self._cells[task, self.settings(task)[0]]
        return next(iter(cells.values()))[0]

    def kind(self, kind: str) -> list[Task]:
        """The tasks of one kind."""
        return [task for task in self.tasks if task.kind == kind]

    def settings(self, task: Task, backbone: str | None = None) -> list[Setting]:
        """The settings in which ``task`` was measured, of one backbone if given; sorted."""
        return [s for s in self._settings.get(task, ()) if backbone is None or backbone in self._cells[task, s]]

    def of(self, task: Task, setting: Setting, backbone: str) -> Sequence[Result]:
        """The results of one backbone, all seeds."""
        return self._cells.get((task, setting), {}).get(backbone, ())

    def summary(
        self, task: Task, setting: Setting, backbone: str, metric: str, search_seed: int | None = None
    ) -> Summary | None:
        """Mean, deviation and n of one cell of a table, of one search if given; None if it was not measured."""
        values = self._by_search_seed(task, setting, backbone, metric)
        if search_seed is not None:
            values = {search_seed: values[search_seed]} if search_seed in values else {}
        return summarize_seeds(values) if values else None

    def best_search(self, backbone: str) -> BestSearch | None:
        """Of several searches by one method, the one whose supernet did best on the proxy's held-out half.

        Test images never choose. None unless every search says how it did.
        """
        found = {
            search.backbone.search_seed: held_out_accuracy(search)
            for search in self.searches
            if search.backbone.name == backbone and search.backbone.kind == "searched"
        }
        known = {seed: score for seed, score in found.items() if seed is not None and score is not None}
        if len(known) < 2 or len(known) < len(found):
            return None
        return BestSearch(max(known, key=lambda seed: known[seed]), len(known))

    def points(self, task: Task, setting: Setting, metric: str) -> dict[Point, float]:
        """One value for each cell or network, all training seeds averaged: the points of a plot or a ranking."""
        key = (task, setting, metric)
        if key not in self._points:
            self._points[key] = {
                Point(name, seed): summarize(values).mean
                for name in self._cells.get((task, setting), {})
                for seed, values in self._by_search_seed(task, setting, name, metric).items()
            }
        return self._points[key]

    def label(self, point: Point) -> str:
        """``random.2``: the backbone, and which search of it where there are several."""
        single = len(self._search_seeds[point.backbone]) < 2
        return point.backbone if single else f"{point.backbone}.{point.search_seed}"

    def random_values(self, task: Task, setting: Setting, metric: str) -> list[float]:
        """One value for each random cell measured in the same setting (the mean over its training seeds)."""
        points = self.points(task, setting, metric)
        return [value for point, value in points.items() if self.backbones[point.backbone].kind == "random"]

    def gain(
        self, backbone: str, columns: Sequence[MetricOf], weights: Sequence[float] | None = None
    ) -> Improvement | None:
        """Improvement over the random cells on ``columns`` together (:mod:`benchmarks.statistics.relative`).

        Networks count that were measured on all of the columns. None for a network that is not a cell of this search
        space, and where nothing can be compared.
        """
        if self.backbones[backbone].genotype is None:
            return None
        ours, unit = self._networks(backbone, columns)
        points = [self.points(*column) for column in columns]
        cells = [
            [column[point] for column in points]
            for point in points[0]
            if self.backbones[point.backbone].kind == "random" and all(point in column for column in points)
        ]
        if not len(ours) or not cells:
            return None
        lower = [not self.higher_is_better(task, metric) for task, _, metric in columns]
        return improvement(ours, cells, unit=unit, lower_is_better=lower, weights=weights)

    def _networks(self, backbone: str, columns: Sequence[MetricOf]) -> tuple[Matrix, Unit]:
        """The scores of one backbone, (networks, columns), and what a network is: a search, a cell or a run."""
        runs: list[dict[tuple[int | None, int], float]] = [
            {
                (result.backbone.search_seed, result.seed): result.metrics[metric].value
                for result in self.of(task, setting, backbone)
                if metric in result.metrics
            }
            for task, setting, metric in columns
        ]
        complete = sorted(set.intersection(*map(set, runs)), key=str)
        rows = np.array([[column[run] for column in runs] for run in complete]).reshape(len(complete), len(columns))
        if self.backbones[backbone].kind != "searched" or len(complete) < 2:
            return rows, "run"
        searches = dict.fromkeys(search for search, _ in complete)
        means = [rows[[run[0] == search for run in complete]].mean(axis=0) for search in searches]
        return np.array(means), "search" if len(searches) > 1 else "cell"

    def metric(self, task: Task, setting: Setting, metric: str) -> Metric | None:
        """A record of ``metric`` in this setting, for its unit, direction and chance level."""
        cells = self._cells[task, setting].values()
        return next((r.metrics[metric] for results in cells for r in results if metric in r.metrics), None)

    def chance(self, task: Task, setting: Setting, metric: str) -> float | None:
        """The chance level: the mean over the results that state one (it may be estimated separately in each)."""
        cells = self._cells[task, setting].values()
        records = [r.metrics[metric].chance for results in cells for r in results if metric in r.metrics]
        known = [chance for chance in records if chance is not None]
        return sum(known) / len(known) if known else None

    def _by_search_seed(
        self, task: Task, setting: Setting, backbone: str, metric: str
    ) -> dict[int | None, list[float]]:
        values: dict[int | None, list[float]] = defaultdict(list)
        for result in self.of(task, setting, backbone):
            if metric in result.metrics:
                values[result.backbone.search_seed].append(result.metrics[metric].value)
        return values

    def _refuse_mixed(self, task: Task) -> None:
        settings = self.settings(task)
        if len(settings) < 2:
            return
        listed = "; ".join(f"{s} ({sum(map(len, self._cells[task, s].values()))} results)" for s in settings)
        raise MixedProtocols(
            f"the column '{task}' would mix {len(settings)} settings: {listed}. Choose the results of one of them, or "
            "allow mixed protocols, which marks each cell with its own"
        )
