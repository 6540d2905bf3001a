"""Bootstrap intervals over the queries: how far a score would move with other queries of the same kind."""

from __future__ import annotations

import numpy as np

from nas.seeding import derive_seed
from reid.ranking import QueryScores

RESAMPLES = 1000


def bootstrap_intervals(scores: QueryScores, *, seed: int, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Percentile intervals of rank-k, mAP and mINP from :data:`RESAMPLES` draws of the valid queries with replacement.

    They cover the choice of queries, and nothing else: not the training seed, the search, or the gallery. Queries of
    one person are drawn one by one, although their scores resemble each other, so the intervals are rather narrow.
    """
    columns = scores.by_metric()
    values = np.stack(list(columns.values()))
    rng = np.random.default_rng(derive_seed(seed, "bootstrap"))
    size = values.shape[1]
    means = np.stack([values[:, rng.integers(size, size=size)].mean(axis=1) for _ in range(RESAMPLES)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(columns, low, high, strict=True)}
