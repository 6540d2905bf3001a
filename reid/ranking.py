"""Rank a gallery for every query: exact CMC, mAP and mINP in memory that does not grow with the number of queries.

Only the places of the relevant images matter, and a place is a count: the images that are nearer, plus those just as
near that come earlier in the gallery. That is a stable sort's place without the sort.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nas.errors import NaswildError
from reid.chance import chance_level
from reid.distances import BLOCK_BYTES, Metric, distance_blocks

Precision = Literal["plain", "trapezoidal"]
RANKS = (1, 5, 10, 20)

# Above this many relevant images one sort is cheaper than counting once per image (measured at 16k and 82k images).
_SORT_ABOVE = 48


@dataclass(frozen=True)
class QueryScores:
    """What ranking found for each query, in the queries' order; arrays of length q.

    ``relevant`` and ``kept`` count the relevant images and all images that take part; ``first`` is the 1-based place of
    the nearest relevant image; a query without a relevant image has ``relevant == 0``, ``first == 0`` and zero scores.
    """

    relevant: np.ndarray
    kept: np.ndarray
    first: np.ndarray
    average_precision: np.ndarray
    inverse_negative_penalty: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """Mask of the queries that have a relevant image; only these enter the means."""
        return self.relevant > 0

    def hits(self, rank: int) -> np.ndarray:
        """1.0 for each query with a relevant image among the nearest ``rank``, else 0.0."""
        return ((self.first > 0) & (self.first <= rank)).astype(np.float64)

    def by_metric(self) -> dict[str, np.ndarray]:
        """The score of every valid query under each metric; a metric is the mean of its column."""
        columns = {f"rank{rank}": self.hits(rank) for rank in RANKS}
        columns |= {"mAP": self.average_precision, "mINP": self.inverse_negative_penalty}
        return {name: column[self.valid] for name, column in columns.items()}


@dataclass(frozen=True)
class Ranking:
    """Scores in 0..1 over the valid queries, the chance level of each, and the scores of every single query."""

    metrics: Mapping[str, float]
    chance: Mapping[str, float]
    queries: QueryScores

    @property
    def without_match(self) -> int:
        """How many queries had no relevant image in the gallery and were left out."""
        return int((~self.queries.valid).sum())

    def cmc(self, ranks: int = 50) -> np.ndarray:
        """Cumulative match curve: the share of valid queries matched within 1, 2, ..., ``ranks`` images."""
        first = self.queries.first[self.queries.valid]
        return np.searchsorted(np.sort(first), np.arange(1, ranks + 1), side="right") / len(first)


class Gallery:
    """The gallery's identities and cameras, indexed so that a query's relevant and ignored images are found at once."""

    def __init__(self, ids: Sequence[int] | np.ndarray, cameras: Sequence[int] | np.ndarray) -> None:
        self.ids, self.cameras = np.asarray(ids), np.asarray(cameras)
        if self.ids.ndim != 1 or self.ids.shape != self.cameras.shape:
            raise NaswildError(f"gallery has {self.ids.shape} identities but {self.cameras.shape} cameras")
        self._order = np.argsort(self.ids, kind="stable")
        self._sorted = self.ids[self._order]

    def __len__(self) -> int:
        return len(self.ids)

    def split(self, identity: int, camera: int) -> tuple[np.ndarray, np.ndarray]:
        """(relevant, ignored) gallery indices, ascending: the identity under other cameras and under the own one."""
        low, high = np.searchsorted(self._sorted, [identity, identity + 1])
        same = self._order[low:high]
        own = self.cameras[same] == camera
        return same[~own], same[own]


def evaluate(
    query_features: Tensor | np.ndarray,
    gallery_features: Tensor | np.ndarray,
    query_ids: Sequence[int] | np.ndarray,
    gallery_ids: Sequence[int] | np.ndarray,
    query_cameras: Sequence[int] | np.ndarray,
    gallery_cameras: Sequence[int] | np.ndarray,
    *,
    metric: Metric = "cosine",
    precision: Precision = "plain",
    block_bytes: int = BLOCK_BYTES,
) -> Ranking:
    """Rank ``gallery_features`` (g, d) for each of ``query_features`` (q, d) under the Market-1501 protocol.

    Images of the query's identity under the query's camera are ignored; queries without any other image of their
    identity are left out (Zheng et al., ICCV 2015, section 5). Features are tensors on any device or NumPy arrays.
    Ties keep the gallery's order. Equals torchreid's ``eval_market1501`` with a stable sort, and Market-1501's MATLAB
    code with ``precision="trapezoidal"``. Raises :class:`NaswildError` for features that are not finite, lengths that
    differ, or no valid query at all.
    """
    gallery = Gallery(gallery_ids, gallery_cameras)
    if len(gallery) != len(gallery_features):
        raise NaswildError(f"{len(gallery_features)} gallery features but {len(gallery)} gallery identities")
    if not len(query_features) == len(query_ids) == len(query_cameras):
        counts = f"{len(query_features)} features, {len(query_ids)} identities, {len(query_cameras)} cameras"
        raise NaswildError(f"query lengths differ: {counts}")
    query, gallery_side = torch.as_tensor(query_features), torch.as_tensor(gallery_features)
    blocks = distance_blocks(query, gallery_side, metric, block_bytes)
    return summarise(score_queries(blocks, gallery, query_ids, query_cameras, precision), precision)


def score_queries(
    blocks: Iterable[tuple[int, np.ndarray]],
    gallery: Gallery,
    query_ids: Sequence[int] | np.ndarray,
    query_cameras: Sequence[int] | np.ndarray,
    precision: Precision = "plain",
) -> QueryScores:
    """Score each query from blocks of distances ``(first row, (rows, g))``; the blocks' contents are overwritten."""
    query_ids, query_cameras = np.asarray(query_ids), np.asarray(query_cameras)
    size = len(query_ids)
    scores = QueryScores(*(np.zeros(size, dtype) for dtype in (np.int64, np.int64, np.int64, np.float64, np.float64)))
    for start, block in blocks:
        for query, distances in enumerate(block, start):
            relevant, ignored = gallery.split(query_ids[query], query_cameras[query])
            scores.relevant[query], scores.kept[query] = len(relevant), len(gallery) - len(ignored)
            if not len(relevant):
                continue
            distances[ignored] = np.inf
            places = relevant_places(distances, relevant)
            scores.first[query] = places[0]
            scores.average_precision[query] = average_precision(places, precision)
            scores.inverse_negative_penalty[query] = len(places) / places[-1]
    return scores


def relevant_places(distances: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Ascending 1-based places that the images ``relevant`` take when ``distances`` (g,) are sorted stably."""
    thresholds = distances[relevant]
    if len(relevant) > _SORT_ABOVE:
        nearer = np.searchsorted(np.sort(distances), thresholds)
    else:
        nearer = np.array([np.count_nonzero(distances < limit) for limit in thresholds])
    earlier = [np.count_nonzero(distances[:index] == limit) for index, limit in zip(relevant, thresholds)]
    return np.sort(nearer + np.array(earlier) + 1)


def average_precision(places: np.ndarray, precision: Precision = "plain") -> float:
    """Area under the precision-recall curve of relevant images at ascending 1-based ``places``.

    ``plain`` is the mean of the precision at each relevant image. ``trapezoidal`` joins each with the precision one
    place earlier (1 before the first place), as Market-1501's own evaluation does.
    """
    found = np.arange(1, len(places) + 1)
    at_hit = found / places
    if precision == "plain":
        return float(at_hit.mean())
    before = np.divide(found - 1, places - 1, out=np.ones(len(places)), where=places > 1)
    return float((at_hit + before).mean() / 2)


def summarise(scores: QueryScores, precision: Precision = "plain") -> Ranking:
    """Means over the valid queries, with the exact chance level of each metric for a random order of the gallery."""
    valid = scores.valid
    if not valid.any():
        raise NaswildError("no query has an image of its identity under another camera in the gallery")
    metrics = {name: float(column.mean()) for name, column in scores.by_metric().items()}
    chance = chance_level(scores.relevant[valid], scores.kept[valid], RANKS, trapezoidal=precision == "trapezoidal")
    return Ranking(metrics, chance, scores)
