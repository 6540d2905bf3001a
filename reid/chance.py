"""The level of chance: what each ranking metric is expected to be when the gallery comes in random order.

All values are exact expectations over the random order, none is simulated. For a query with ``n`` relevant images among
``N`` (Bestgen, "Exact expected average precision of the random baseline", PBML 103, 2015, for the average precision):

* Rank-k: 1 - C(N-n, k) / C(N, k)
* AP:     (H_N + (n-1)/(N-1) * (N - H_N)) / N, with the harmonic number H_N = 1 + 1/2 + ... + 1/N
* AP, trapezoidal: the mean of AP and n/N, since the precision one place before a hit is (n-1)/(N-1) on average
* INP:    sum over m of (n/m) * C(m-1, n-1) / C(N, n), where m is the place of the last relevant image
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.special import gammaln


def chance_level(
    relevant: np.ndarray, kept: np.ndarray, ranks: Iterable[int] = (1, 5, 10, 20), trapezoidal: bool = False
) -> dict[str, float]:
    """Expected rank-k, mAP and mINP (0..1) over queries with ``relevant`` images among ``kept``; arrays of length q."""
    pairs, counts = np.unique(np.stack([relevant, kept], axis=1), axis=0, return_counts=True)
    share = counts / counts.sum()
    level = {f"rank{k}": float(share @ [expected_hit(n, size, k) for n, size in pairs]) for k in ranks}
    level["mAP"] = float(share @ [expected_average_precision(n, size, trapezoidal) for n, size in pairs])
    level["mINP"] = float(share @ [expected_inverse_penalty(n, size) for n, size in pairs])
    return level


def expected_hit(relevant: int, kept: int, rank: int) -> float:
    """Probability that a random order shows one of ``relevant`` among ``kept`` images within the first ``rank``."""
    if rank > kept - relevant:
        return 1.0
    return float(1 - np.exp(_log_choose(kept - relevant, rank) - _log_choose(kept, rank)))


def expected_average_precision(relevant: int, kept: int, trapezoidal: bool = False) -> float:
    """Average precision to expect of a random order of ``kept`` images of which ``relevant`` count."""
    harmonic = float(np.sum(1 / np.arange(1, kept + 1)))
    others = (relevant - 1) / (kept - 1) if kept > 1 else 0.0
    plain = (harmonic + others * (kept - harmonic)) / kept
    return (plain + relevant / kept) / 2 if trapezoidal else plain


def expected_inverse_penalty(relevant: int, kept: int) -> float:
    """Inverse negative penalty (relevant images over the place of the last one) to expect of a random order."""
    last = np.arange(relevant, kept + 1)
    probability = np.exp(_log_choose(last - 1, relevant - 1) - _log_choose(kept, relevant))
    return float(np.sum(relevant / last * probability))


def _log_choose(total: np.ndarray | int, chosen: int) -> np.ndarray:
    return gammaln(np.asarray(total) + 1.0) - gammaln(chosen + 1.0) - gammaln(np.asarray(total) - chosen + 1.0)
