"""How often each interval that the product prints contains the truth, by simulation.

    python -m benchmarks.statistics.coverage                  # the whole grid, 4,000 repetitions: about 10 minutes
    python -m benchmarks.statistics.coverage --repetitions 400

Scores are drawn from a model with known truth: mean 45, deviation 5 between cells, 2.5 between the training seeds of
one cell; normal, t with 5 degrees of freedom, and gamma of shape 4 (skewness 1) to either side. The nominal coverage is
95 %. The last lines count how often the report names a winner although every cell is a random one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.correlation import rank_correlation
from benchmarks.statistics.paired import mean_interval, paired_difference
from benchmarks.statistics.ranks import interquartile_interval
from benchmarks.statistics.relative import MINIMUM_OF_OURS, Unit, holm, improvement
from benchmarks.statistics.summary import Interval

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

MEAN, CELLS, SEEDS = 45.0, 5.0, 2.5
SHAPES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "t5": lambda rng, size: rng.standard_t(5, size) / np.sqrt(5 / 3),
    "skewed up": lambda rng, size: (rng.gamma(4, size=size) - 4) / 2,
    "skewed down": lambda rng, size: (4 - rng.gamma(4, size=size)) / 2,
}


@dataclass(frozen=True)
class Row:
    """The share of ``repetitions`` in which an interval contained the truth (or the report named a false winner)."""

    what: str
    shape: str
    rate: float
    repetitions: int


def _scores(rng: np.random.Generator, draw: Draw, cells: int, seeds: int) -> Array:
    """Scores of random cells, (cells, seeds)."""
    return MEAN + CELLS * draw(rng, (cells, 1)) + SEEDS * draw(rng, (cells, seeds))


def cover_improvement(
    shape: str, cells: int, seeds: int, unit: Unit, ours: int, repetitions: int, rng: np.random.Generator
) -> Row:
    """Relative improvement over ``cells`` random cells of ``seeds`` trainings each.

    ``ours`` searches, whose true improvement is 0; or one cell with ``ours`` trainings, whose truth is that cell's own
    (``unit`` "run") or, as it came from the same population, 0 (``unit`` "cell").
    """
    draw, hits = SHAPES[shape], 0
    for _ in range(repetitions):
        random_cells = _scores(rng, draw, cells, seeds).mean(axis=1)
        truth = 0.0
        if unit == "search":
            found = improvement(_scores(rng, draw, ours, seeds).mean(axis=1), random_cells, unit=unit)
        else:
            level = MEAN + CELLS * float(draw(rng, (1,))[0])
            runs = level + SEEDS * draw(rng, (ours,))
            truth = level / MEAN - 1 if unit == "run" else 0.0
            found = improvement(runs if unit == "run" else [runs.mean()], random_cells, unit=unit)
        hits += _contains(found.interval if found else None, truth)
    name = {"search": f"{ours} searches", "run": f"a fixed cell, {ours} seeds", "cell": f"one search, {ours} seeds"}[
        unit
    ]
    return Row(f"improvement: {name}; {cells} random cells x {seeds}", shape, hits / repetitions, repetitions)


def cover_wild(shape: str, cells: int, ours: int, sets: int, repetitions: int, rng: np.random.Generator) -> Row:
    """The wild score of three or more searches over ``sets`` data sets of different spread; the truth is 0."""
    draw, hits = SHAPES[shape], 0
    spread = np.linspace(0.5, 2.0, sets)
    for _ in range(repetitions):
        mine, theirs = (_on_sets(rng, draw, n, spread) for n in (ours, cells))
        found = improvement(mine, theirs, unit="search")
        hits += _contains(found.interval if found else None, 0.0)
    return Row(
        f"wild score: {ours} searches; {cells} random cells; {sets} sets", shape, hits / repetitions, repetitions
    )


def _on_sets(rng: np.random.Generator, draw: Draw, cells: int, spread: Array) -> Array:
    """Scores (cells, sets): a cell's quality is shared by the sets, its luck on each is its own."""
    quality = CELLS * draw(rng, (cells, 1))
    return MEAN + (quality + CELLS * draw(rng, (cells, len(spread)))) / np.sqrt(2) * spread


def cover_queries(persons: int, each: int, pairs: bool, repetitions: int, rng: np.random.Generator) -> Row:
    """Average precision of ``each`` queries a person: one model's mean, or two models' difference."""
    hits = 0
    for _ in range(repetitions):
        groups = np.repeat(np.arange(persons), each)
        difficulty = np.repeat(rng.normal(0, 1, persons), each)
        if pairs:
            own = np.repeat(rng.normal(0, 1, persons), each)
            a, b = (1 / (1 + np.exp(-(difficulty + s * own + rng.normal(0, 1, groups.size)))) for s in (1, -1))
            found = paired_difference(a.tolist(), b.tolist(), "queries", groups.tolist())
            hits += _contains(found.interval if found else None, 0.0)
        else:
            scores = 1 / (1 + np.exp(-(1 + difficulty + rng.normal(0, 1, groups.size))))
            hits += _contains(mean_interval(scores.tolist(), "queries", groups.tolist()), _TRUE_MEAN)
    what = "difference of two models" if pairs else "mean of one model"
    return Row(f"queries: {what}; {persons} persons x {each}", "logistic", hits / repetitions, repetitions)


# E sigmoid(1 + z) with z normal of variance 2, by Gauss-Hermite quadrature.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
_TRUE_MEAN = float((_WEIGHTS / (1 + np.exp(-(1 + np.sqrt(2) * _NODES)))).sum() / _WEIGHTS.sum())


def cover_images(images: int, repetitions: int, rng: np.random.Generator) -> Row:
    """Accuracy of one model on ``images`` images."""
    hits = 0
    for _ in range(repetitions):
        right = (rng.random(images) < 0.8).astype(float)
        hits += _contains(mean_interval(right.tolist()), 0.8)
    return Row(f"images: accuracy of one model; {images} images", "binomial", hits / repetitions, repetitions)


def cover_correlation(backbones: int, repetitions: int, rng: np.random.Generator) -> Row:
    """Kendall's tau of a bivariate normal with correlation 0.7, whose tau is 2 / pi arcsin 0.7."""
    hits, truth = 0, float(2 / np.pi * np.arcsin(0.7))
    for _ in range(repetitions):
        x = rng.standard_normal(backbones)
        y = 0.7 * x + np.sqrt(1 - 0.49) * rng.standard_normal(backbones)
        found = rank_correlation(x.tolist(), y.tolist())
        hits += _contains(found.kendall_interval if found else None, truth)
    return Row(f"Kendall's tau; {backbones} backbones", "normal", hits / repetitions, repetitions)


def cover_interquartile(shape: str, runs: int, tasks: int, repetitions: int, rng: np.random.Generator) -> Row:
    """Interquartile mean of ``runs`` on each of ``tasks`` tasks; the truth comes from a million runs."""
    draw, hits = SHAPES[shape], 0
    means = np.linspace(-2, 2, tasks)
    truth = _middle_mean((means + draw(np.random.default_rng(1), (1_000_000 // tasks, tasks))).ravel())
    for _ in range(repetitions):
        hits += _contains(interquartile_interval(means + draw(rng, (runs, tasks))), truth)
    return Row(f"interquartile mean; {runs} runs x {tasks} tasks", shape, hits / repetitions, repetitions)


def _middle_mean(values: Array) -> float:
    middle = np.sort(values)[values.size // 4 : values.size - values.size // 4]
    return float(middle.mean())


def false_winners(shape: str, cells: int, methods: int, repetitions: int, rng: np.random.Generator) -> Row:
    """How often the report would name a winner among ``methods`` methods (three searches each) that are all random."""
    draw, named = SHAPES[shape], 0
    for _ in range(repetitions):
        random_cells = _scores(rng, draw, cells, 1).mean(axis=1)
        found = [
            improvement(_scores(rng, draw, 3, 1).mean(axis=1), random_cells, unit="search") for _ in range(methods)
        ]
        tested = [entry for entry in found if entry is not None and entry.p is not None]
        adjusted = holm([entry.p for entry in tested if entry.p is not None])
        named += any(p <= 0.05 and entry.value > 0 for entry, p in zip(tested, adjusted, strict=True))
    return Row(f"false winner among {methods} methods; {cells} random cells", shape, named / repetitions, repetitions)


def _contains(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low <= truth <= interval.high


def grid(repetitions: int, seed: int = 0, shapes: Sequence[str] = tuple(SHAPES)) -> Iterator[Row]:
    """Every case; false winners last."""
    rng = np.random.default_rng(seed)
    for shape in shapes:
        for cells in (3, 5, 10, 20):
            for seeds in (1, 2, 3):
                yield cover_improvement(shape, cells, seeds, "search", MINIMUM_OF_OURS["search"], repetitions, rng)
                yield cover_improvement(shape, cells, seeds, "cell", max(seeds, 2), repetitions, rng)
                yield cover_improvement(shape, cells, seeds, "run", max(seeds, 2), repetitions, rng)
            yield cover_wild(shape, cells, 3, 6, repetitions, rng)
        for runs in (5, 10):
            yield cover_interquartile(shape, runs, 8, repetitions // 4, rng)
    for persons, each in ((20, 2), (40, 4), (750, 4)):
        yield cover_queries(persons, each, False, repetitions, rng)
        yield cover_queries(persons, each, True, repetitions, rng)
    for images in (50, 500):
        yield cover_images(images, repetitions, rng)
    for backbones in (8, 16):
        yield cover_correlation(backbones, max(repetitions // 20, 20), rng)
    for shape in shapes:
        for cells in (3, 10):
            for methods in (1, 2, 4):
                yield false_winners(shape, cells, methods, repetitions, rng)


def main() -> None:
    """Print the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4000, help="simulated benchmarks of each case")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    options = parser.parse_args()
    for row in grid(options.repetitions, options.seed):
        print(f"{row.what:62} {row.shape:12} {100 * row.rate:5.1f} %  ({row.repetitions})", flush=True)


if __name__ == "__main__":
    main()
