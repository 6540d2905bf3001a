"""Means and deviations, and the interval type that all statistics share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # nominal coverage of every interval
MINIMUM_SAMPLE = 3  # cells, images or persons below which no interval is given


@dataclass(frozen=True)
class Interval:
    """A two-sided interval and, in words, the variation that it covers."""

    low: float
    high: float
    covers: str
    level: float = LEVEL


@dataclass(frozen=True)
class Summary:
    """Mean of ``n`` independent values; ``deviation`` is the sample deviation (n - 1), None for a single run."""

    mean: float
    deviation: float | None
    n: int
    over: str  # what was repeated: "searches", "training seeds", "random cells"; "" for a single run


def summarize(values: Sequence[float], over: str = "training seeds") -> Summary:
    """Return mean, sample deviation and n of ``values``, which must not be empty."""
    sample = np.asarray(values, dtype=float)
    if sample.size == 1:
        return Summary(float(sample[0]), None, 1, "")
    return Summary(float(sample.mean()), float(sample.std(ddof=1)), int(sample.size), over)


def summarize_seeds(by_search_seed: Mapping[int | None, Sequence[float]]) -> Summary:
    """Summarize values grouped by search seed without mixing the two kinds of repetition.

    Runs of one cell are averaged first, and the deviation is that of the searches. With one search only it is that of
    the cell's training seeds, and ``over`` says so.
    """
    if len(by_search_seed) == 1:
        return summarize(next(iter(by_search_seed.values())))
    return summarize([float(np.mean(values)) for values in by_search_seed.values()], "searches")
