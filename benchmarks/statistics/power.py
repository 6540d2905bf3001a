"""How many runs would tell a difference: power of a two-sided t test, and the upper limit of a small deviation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from scipy import stats

from benchmarks.statistics.summary import LEVEL


def runs_to_detect(difference: float, deviation: float, power: float = 0.8, most: int = 10_000) -> int | None:
    """Return the runs on each side for which a two-sided t test at 5 % finds a true ``difference`` with this ``power``.

    Both sides are taken to vary by ``deviation``. None when more than ``most`` runs were needed.
    """
    if difference == 0:
        return None
    if deviation == 0:
        return 2

    def enough(n: int) -> bool:
        shift = abs(difference) / deviation * np.sqrt(n / 2)
        critical = stats.t.ppf((1 + LEVEL) / 2, 2 * n - 2)
        # The far tail is left out: it is below 1e-3 where the power is of interest.
        return bool(stats.nct.sf(critical, 2 * n - 2, shift) >= power)

    runs = bisect_left(range(2, most + 1), True, key=enough) + 2
    return runs if runs <= most else None


def deviation_limit(deviation: float, freedom: int) -> float:
    """Return the upper 95 % limit of a deviation estimated with ``freedom`` degrees of freedom (chi-squared)."""
    return float(deviation * np.sqrt(freedom / stats.chi2.ppf(1 - LEVEL, freedom)))


def pareto_front(costs: Sequence[float], values: Sequence[float], higher_is_better: bool = True) -> list[bool]:
    """For each point say whether no other has at most its cost and at least its quality, one of them strictly."""
    quality = np.asarray(values, float) * (1 if higher_is_better else -1)
    cost = np.asarray(costs, float)
    no_worse = (cost[:, None] <= cost) & (quality[:, None] >= quality)
    better = no_worse & ((cost[:, None] < cost) | (quality[:, None] > quality))
    return [not dominated for dominated in np.atleast_1d(better.any(axis=0)).tolist()]
