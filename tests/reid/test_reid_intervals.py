"""Bootstrap intervals surround the mean, shrink with more queries, and are reproducible."""

from __future__ import annotations

import numpy as np

from reid.intervals import bootstrap_intervals
from reid.ranking import QueryScores


def scores(count: int) -> QueryScores:
    rng = np.random.default_rng(0)
    precision = rng.random(count)
    relevant = np.ones(count, int)
    return QueryScores(relevant, relevant * 9, (1 / precision).astype(int) + 1, precision, precision)


def test_interval_has_the_width_of_the_standard_error():
    low, high = bootstrap_intervals(scores(400), seed=0)["mAP"]
    mean, error = scores(400).average_precision.mean(), scores(400).average_precision.std() / 20
    assert low < mean < high
    assert 0.8 < (high - low) / (2 * 1.96 * error) < 1.2


def test_same_seed_gives_the_same_interval_and_queries_without_match_do_not_count():
    one = scores(50)
    padded = QueryScores(*(np.append(getattr(one, name), 0) for name in one.__dataclass_fields__))
    assert bootstrap_intervals(one, seed=3) == bootstrap_intervals(padded, seed=3)
    assert bootstrap_intervals(one, seed=3) != bootstrap_intervals(one, seed=4)
