"""The expected scores of a random order equal the mean over all orders (small) and a simulation (larger)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from reid.chance import chance_level, expected_average_precision, expected_hit, expected_inverse_penalty
from reid.ranking import average_precision


def all_places(relevant: int, kept: int) -> list[np.ndarray]:
    return [np.sort(np.array(order[:relevant]) + 1) for order in permutations(range(kept))]


@pytest.mark.parametrize(("relevant", "kept"), [(1, 1), (1, 6), (2, 6), (3, 6), (6, 6)])
def test_expectations_equal_the_mean_over_all_orders(relevant, kept):
    places = all_places(relevant, kept)
    assert expected_hit(relevant, kept, 2) == pytest.approx(np.mean([p[0] <= 2 for p in places]))
    assert expected_inverse_penalty(relevant, kept) == pytest.approx(np.mean([relevant / p[-1] for p in places]))
    for precision, trapezoidal in (("plain", False), ("trapezoidal", True)):
        mean = np.mean([average_precision(p, precision) for p in places])
        assert expected_average_precision(relevant, kept, trapezoidal) == pytest.approx(mean)


def test_chance_averages_over_queries():
    rng = np.random.default_rng(0)
    relevant, kept = np.array([3, 3, 12]), np.array([200, 200, 150])
    drawn = [
        [np.sort(rng.permutation(size)[:n] + 1) for _ in range(4000)] for n, size in zip(relevant, kept, strict=True)
    ]
    level = chance_level(relevant, kept)
    assert level["rank1"] == pytest.approx(np.mean(relevant / kept))
    assert level["rank10"] == pytest.approx(np.mean([[p[0] <= 10 for p in d] for d in drawn]), rel=0.05)
    assert level["mAP"] == pytest.approx(np.mean([[average_precision(p) for p in d] for d in drawn]), rel=0.05)
    assert level["mINP"] == pytest.approx(np.mean([[len(p) / p[-1] for p in d] for d in drawn]), rel=0.05)


def test_large_sets_stay_finite():
    level = chance_level(np.array([30]), np.array([82161]))
    assert 0 < level["mINP"] < level["mAP"] < level["rank20"] < 0.02
