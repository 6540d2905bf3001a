"""The figures of the report, drawn from measurements: trade-offs, correlations, trajectories, costs, cells."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report.axes import percent, short
from benchmarks.report.plots import Dot, bars, lines, scatter
from benchmarks.statistics import pareto_front
from benchmarks.store import Result
from benchmarks.tables.keys import Point, Task
from benchmarks.tables.measurements import Measurements
from benchmarks.transfer import proxy_correlations
from nas.draw import draw_svg
from nas.genotype import Genotype

KINDS = {"search": "search", "classify": "retraining", "detect": "detection", "reid": "re-identification"}


@dataclass(frozen=True)
class Figure:
    """One picture with its caption; ``name`` is what the page's filter looks at."""

    svg: str
    caption: str
    name: str = ""


def trade_offs(measured: Measurements) -> Iterator[Figure]:
    """The primary metric of every task against multiply-adds, the Pareto front joined."""
    for task in measured.tasks:
        metric = measured.primary(task)
        points = measured.points(task, measured.settings(task)[0], metric)
        costs = {point: cost for point in points if (cost := _macs(measured, task, point)) is not None}
        if len(costs) < 2:
            continue
        values = [points[point] for point in costs]
        front = pareto_front(list(costs.values()), values, measured.higher_is_better(task, metric))
        dots = [
            Dot(cost, points[point], measured.label(point), measured.backbones[point.backbone].kind, ring)
            for (point, cost), ring in zip(costs.items(), front)
        ]
        titles = ("multiply-adds of the backbone", metric)
        yield Figure(scatter(dots, titles, log_x=True, y_text=_axis_text(measured, task, metric)), task.title)


def correlations(measured: Measurements) -> Iterator[Figure]:
    """Target against proxy, one plot a target, with tau where there are enough cells."""
    for entry in proxy_correlations(measured):
        if len(entry.points) < 2:
            continue
        dots = [
            Dot(proxy, target, measured.label(point), measured.backbones[point.backbone].kind)
            for point, (proxy, target) in entry.points.items()
        ]
        rank = entry.correlation
        said = f"tau {rank.kendall:+.2f}, n = {rank.n}" if rank else f"n = {len(dots)}: too few for a correlation"
        titles = (f"{entry.proxy.name} top-1 (proxy)", entry.metric)
        y_text = _axis_text(measured, entry.target, entry.metric)
        yield Figure(scatter(dots, titles, x_text=percent, y_text=y_text), f"{entry.target.title}: {said}")


def trajectories(measured: Measurements) -> Iterator[tuple[str, Figure, Figure]]:
    """For each search its skip-connects and the entropy of its alphas over the epochs of all stages."""
    for search in measured.searches:
        stages: Sequence[Mapping[str, Any]] = search.details.get("stages") or ()
        epochs = [epoch for stage in stages for epoch in stage.get("trajectory", ())]
        if not epochs:
            continue
        name = measured.label(Point.of(search))
        ends = [sum(len(stage["trajectory"]) for stage in stages[: i + 1]) for i in range(len(stages) - 1)]
        skips = lines(
            {"normal cell": [epoch["skips"] for epoch in epochs]}, ("epoch", "skip-connects"), ends, whole=True
        )
        entropy = {f"{cell} cell": [mean_entropy(e["alphas"][cell]) for e in epochs] for cell in epochs[0]["alphas"]}
        yield (
            name,
            Figure(skips, "skip-connects of the normal cell that the alphas describe"),
            Figure(lines(entropy, ("epoch", "entropy, 0 to 1"), ends), "mean entropy of the alphas, 1: undecided"),
        )


def mean_entropy(alphas: Sequence[Sequence[float]]) -> float:
    """Mean over edges of the entropy of the softmax of one edge's alphas, relative to that of an even choice."""
    values = []
    for row in alphas:
        if len(row) < 2:
            continue
        exponentials = [math.exp(alpha - max(row)) for alpha in row]
        weights = [value / sum(exponentials) for value in exponentials]
        values.append(-sum(w * math.log(w) for w in weights if w > 0) / math.log(len(row)))
    return sum(values) / len(values) if values else 0.0


def cost_bars(results: Sequence[Result]) -> Figure | None:
    """Seconds by backbone and stage; several cells of one backbone add up."""
    rows: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for result in results:
        rows[result.backbone.name][KINDS.get(result.kind, result.kind)] += result.cost.seconds
    if not rows:
        return None
    ordered = dict(sorted(rows.items(), key=lambda row: -sum(row[1].values())))
    kinds = [*KINDS.values(), *sorted({kind for row in rows.values() for kind in row} - set(KINDS.values()))]
    return Figure(bars(ordered, kinds, "Seconds of every backbone by stage"), "all attempts of all jobs, added up")


def cells(measured: Measurements, results: Sequence[Result]) -> Iterator[Figure]:
    """A drawing of every distinct genotype, named by the backbones that have it."""
    names: dict[str, dict[str, None]] = defaultdict(dict)
    genotypes: dict[str, Genotype] = {}
    for result in results:
        if result.backbone.genotype is not None:
            genotype = Genotype.from_dict(result.backbone.genotype)
            genotypes[genotype.digest] = genotype
            names[genotype.digest][measured.label(Point.of(result))] = None
    for digest, genotype in genotypes.items():
        label = ", ".join(names[digest])
        drawing = draw_svg(genotype).replace(' xmlns="http://www.w3.org/2000/svg"', "")  # not needed inside a page
        yield Figure(drawing, f"{label} [{digest}]", label)


def _axis_text(measured: Measurements, task: Task, metric: str) -> Callable[[float], str]:
    record = measured.metric(task, measured.settings(task)[0], metric)
    return percent if record is None or record.unit == "fraction" else short


def _macs(measured: Measurements, task: Task, point: Point) -> int | None:
    for setting in measured.settings(task):
        for result in measured.of(task, setting, point.backbone):
            if result.backbone.search_seed == point.search_seed and result.backbone.macs:
                return result.backbone.macs
    return None
