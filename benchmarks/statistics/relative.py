"""Improvement over the random cells of the same space, on one task or over many: log ratio of means, Welch's interval.

With ``y[i, u]`` the score of our network i on column u, ``r[j, u]`` that of random cell j and weights w that sum to 1,

    L = sum_u w[u] s[u] log(mean_i y[i, u] / mean_j r[j, u]),      improvement = exp(L) - 1,

where s[u] is -1 if lower is better. One column is the relative improvement over the mean random cell (Yang et al., ICLR
2020, equation 1); all target data sets together are the wild score. To first order a network adds

    z[i] = sum_u w[u] s[u] y[i, u] / mean_i y[i, u]

to its side, so a network with all its scores is one draw, and L has the variance var(z)/n of both sides added. The
interval is L +- t se, transformed back, with the degrees of freedom of Welch and Satterthwaite, but at most
2 min(m, n) - 1 for samples of m and n: the deviation of two or three networks is at times far too small by luck, the
formula then takes the other side's freedom, and the interval covers as little as 91 %
(:mod:`benchmarks.statistics.coverage`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmarks.statistics.summary import LEVEL, MINIMUM_SAMPLE, Interval

Matrix = NDArray[np.float64]
Unit = Literal["run", "search", "cell"]
MINIMUM_OF_OURS = {"run": 2, "search": 3, "cell": 1}  # below it there is no interval


@dataclass(frozen=True)
class Improvement:
    """Improvement over the mean random cell as a fraction: 0.05 is five percent better.

    ``p`` is the two-sided p-value of no improvement, by the same t statistic as the interval; both are None for a
    single run. ``ours`` networks were compared with ``cells`` random cells, whose relative scores have the sample
    ``deviation`` (None for one).
    """

    value: float
    ours: int
    cells: int
    deviation: float | None = None
    interval: Interval | None = None
    p: float | None = None


def improvement(
    ours: ArrayLike,
    random_cells: ArrayLike,
    *,
    unit: Unit,
    lower_is_better: Sequence[bool] = (),
    weights: Sequence[float] | None = None,
) -> Improvement | None:
    """Compare our networks with the random cells of the same space.

    Args:
        ours: Scores, (networks, columns) or (networks,).
        random_cells: Scores, (cells, columns) or (cells,), each cell averaged over its training seeds.
        unit: What one row of ``ours`` is. ``"run"``: a training of one fixed cell; Welch with that cell's own
            deviation. ``"search"``: the mean of one search's cell; Welch with the deviation between searches.
            ``"cell"``: the one cell of a single search, averaged over two or more trainings; it is taken as one
            observation against the sample of random cells, t s sqrt(1 + 1/n).
        lower_is_better: For each column; none by default.
        weights: Of the columns, summing to 1; equal by default.

    Returns:
        None without random cells or where a mean is not positive (there is no ratio). There is no interval for a single
        run, below three random cells, or where nothing varies.
    """
    y, r = _matrix(ours), _matrix(random_cells)
    if not len(y) or not len(r) or (y.mean(axis=0) <= 0).any() or (r.mean(axis=0) <= 0).any():
        return None
    columns = y.shape[1]
    w = np.full(columns, 1 / columns) if weights is None else np.asarray(weights, float)
    w = w * np.where(np.asarray(lower_is_better or [False] * columns), -1.0, 1.0)
    log_ratio = float(np.log(y.mean(axis=0) / r.mean(axis=0)) @ w)
    ours_relative, cells_relative = (y / y.mean(axis=0)) @ w, (r / r.mean(axis=0)) @ w
    found = Improvement(
        value=float(np.expm1(log_ratio)),
        ours=len(y),
        cells=len(r),
        deviation=float(cells_relative.std(ddof=1)) if len(r) > 1 else None,
    )
    error = _standard_error(ours_relative, cells_relative, unit)
    if error is None:
        return found
    size, freedom = error
    half = size * float(stats.t.ppf((1 + LEVEL) / 2, freedom))
    low, high = float(np.expm1(log_ratio - half)), float(np.expm1(log_ratio + half))
    return replace(
        found,
        interval=Interval(low, high, _covers(unit, len(y), len(r))),
        p=float(2 * stats.t.sf(abs(log_ratio) / size, freedom)),
    )


def _standard_error(ours: Matrix, cells: Matrix, unit: Unit) -> tuple[float, float] | None:
    """The standard error of the log ratio and its degrees of freedom; None where it cannot be estimated."""
    n, m = len(cells), len(ours)
    if n < MINIMUM_SAMPLE or m < MINIMUM_OF_OURS[unit]:
        return None
    b = float(cells.var(ddof=1)) / n
    if unit == "cell":
        return (float(np.sqrt((n + 1) * b)), n - 1.0) if b > 0 else None
    a = float(ours.var(ddof=1)) / m
    return (float(np.sqrt(a + b)), _freedom(a, m, b, n)) if a + b > 0 else None


def _freedom(a: float, m: int, b: float, n: int) -> float:
    """Degrees of freedom of a + b, the variances of two means of m and n values, at most 2 min(m, n) - 1."""
    return float(min((a + b) ** 2 / (a**2 / (m - 1) + b**2 / (n - 1)), 2 * min(m, n) - 1))


def welch_p(mean_a: float, deviation_a: float, m: int, mean_b: float, deviation_b: float, n: int) -> float:
    """Return the two-sided p-value of equal means, of m and n values, from their means and sample deviations."""
    a, b = deviation_a**2 / m, deviation_b**2 / n
    if a + b == 0:
        return 1.0 if mean_a == mean_b else 0.0
    return float(2 * stats.t.sf(abs(mean_a - mean_b) / np.sqrt(a + b), _freedom(a, m, b, n)))


def _covers(unit: Unit, ours: int, cells: int) -> str:
    sample = f"the choice of the {cells} random cells"
    if unit == "cell":
        return f"{sample}, for this one searched cell (not for the method)"
    return f"{sample} and " + (
        f"the {ours} searches" if unit == "search" else f"the {ours} training seeds of this cell"
    )


def _matrix(values: ArrayLike) -> Matrix:
    array = np.asarray(values, float)
    return array[:, None] if array.ndim == 1 else array


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for several comparisons (Holm, 1979): at 0.05, any true null is rejected in at most 5 %."""
    order = np.argsort(p_values, kind="stable")
    stepped = np.asarray(p_values, float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(p) for p in adjusted]
