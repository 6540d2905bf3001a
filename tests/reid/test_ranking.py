"""The ranking equals torchreid's evaluator (with ties kept stable) and the definitions of its metrics."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.torchreid_import import load_torchreid
from nas.errors import NaswildError
from reid.distances import distance_blocks
from reid.ranking import Gallery, average_precision, evaluate, relevant_places, score_queries, summarise


def stable_oracle(distances: np.ndarray, query_ids, gallery_ids, query_cameras, gallery_cameras):
    """torchreid's evaluator on the stable places, which are all different, so that its unstable sort cannot matter."""
    pytest.importorskip("torchreid")
    places = np.argsort(np.argsort(distances, axis=1, kind="stable"), axis=1)
    labels = [np.asarray(a) for a in (query_ids, gallery_ids, query_cameras, gallery_cameras)]
    return load_torchreid().metrics.rank.eval_market1501(places, *labels, 20)


def scores(distances: np.ndarray, query_ids, gallery_ids, query_cameras, gallery_cameras, precision="plain"):
    gallery = Gallery(gallery_ids, gallery_cameras)
    blocks = [(0, distances[:3].copy()), (3, distances[3:].copy())]
    return summarise(score_queries(blocks, gallery, query_ids, query_cameras, precision), precision)


def labels(rng: np.random.Generator, queries: int, gallery: int, identities: int, cameras: int):
    """Random labels; query identities beyond the gallery's have no match, identity 0 stands for distractors."""
    return (
        rng.integers(1, identities + 3, queries),
        rng.integers(0, identities, gallery),
        rng.integers(0, cameras, queries),
        rng.integers(0, cameras, gallery),
    )


def assert_equals_torchreid(result, distances, *named):
    curve, mean_precision = stable_oracle(distances, *named)
    assert result.metrics["mAP"] == pytest.approx(mean_precision, abs=1e-6)
    for rank in (1, 5, 10, 20):
        assert result.metrics[f"rank{rank}"] == pytest.approx(curve[rank - 1], abs=1e-6)
    np.testing.assert_allclose(result.cmc(20), curve, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("levels", [2, 5, 10**9], ids=["almost all tied", "many ties", "no ties"])
def test_equals_torchreid_on_random_distances(seed, levels):
    rng = np.random.default_rng(seed)
    named = labels(rng, queries=31, gallery=173, identities=9, cameras=3)
    distances = rng.integers(0, levels, (31, 173)).astype(np.float32)
    assert_equals_torchreid(scores(distances, *named), distances, *named)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equals_torchreid_from_features(metric):
    pytest.importorskip("torchreid")
    rng = np.random.default_rng(7)
    named = labels(rng, queries=40, gallery=210, identities=12, cameras=4)
    query, gallery = torch.randn(40, 24, generator=torch.manual_seed(1)), torch.randn(210, 24)
    distances = load_torchreid().metrics.compute_distance_matrix(query, gallery, metric).numpy()
    result = evaluate(query, gallery, *named, metric=metric, block_bytes=7 * 210 * 4)
    assert_equals_torchreid(result, distances, *named)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_duplicated_images_tie_and_keep_the_gallerys_order(metric):
    """Whole-number features make equal distances exactly equal, as for files that are stored twice."""
    rng = np.random.default_rng(3)
    named = labels(rng, queries=25, gallery=120, identities=5, cameras=3)
    query = torch.tensor(rng.integers(0, 2, (25, 4))).float()
    gallery = torch.tensor(rng.integers(0, 2, (120, 4))).float()
    blocks = distance_blocks(query, gallery, metric)
    distances = np.concatenate([block.copy() for _, block in blocks])
    assert_equals_torchreid(evaluate(query, gallery, *named, metric=metric), distances, *named)


def test_more_relevant_images_than_the_counting_limit():
    rng = np.random.default_rng(0)
    named = labels(rng, queries=12, gallery=400, identities=2, cameras=3)
    distances = rng.integers(0, 40, (12, 400)).astype(np.float32)
    assert_equals_torchreid(scores(distances, *named), distances, *named)


def test_all_distances_equal_keeps_the_gallerys_order():
    places = relevant_places(np.zeros(10, np.float32), np.array([2, 5, 9]))
    assert places.tolist() == [3, 6, 10]


def test_queries_without_match_are_left_out_and_counted():
    distances = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [1, 2, 3]], np.float32)
    result = scores(distances, [1, 2, 3, 1], [1, 1, 3], [0, 0, 2, 1], [0, 1, 0])
    # Query 0 ignores image 0 (own camera); query 1 has no match; query 2 finds image 2; query 3 ignores image 1.
    assert result.without_match == 1
    assert result.queries.first.tolist() == [1, 0, 1, 1]
    assert result.queries.kept.tolist() == [2, 3, 3, 2]


def test_no_valid_query_is_an_error():
    with pytest.raises(NaswildError, match="no query has an image"):
        evaluate(torch.eye(2), torch.eye(2), [1, 2], [3, 4], [0, 0], [1, 1])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_features_must_be_finite(bad, side):
    features = {"query": torch.ones(3, 4), "gallery": torch.ones(5, 4)}
    features[side][2, 1] = bad
    with pytest.raises(NaswildError, match=f"{side} features are not finite in 1 rows, the first is row 2"):
        evaluate(features["query"], features["gallery"], [1] * 3, [1] * 5, [0] * 3, [1] * 5)


def test_lengths_must_agree():
    with pytest.raises(NaswildError, match="query lengths differ"):
        evaluate(torch.ones(3, 4), torch.ones(5, 4), [1] * 2, [1] * 5, [0] * 3, [1] * 5)
    with pytest.raises(NaswildError, match="gallery"):
        evaluate(torch.ones(3, 4), torch.ones(5, 4), [1] * 3, [1] * 4, [0] * 3, [1] * 4)


def test_plain_average_precision_is_the_mean_precision_at_the_hits():
    assert average_precision(np.array([1, 3, 6])) == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)


def test_trapezoidal_average_precision_follows_the_market_1501_loop():
    """The evaluation of Market-1501 walks the list and adds trapezia; done here word for word."""
    hits = [0, 1, 1, 0, 0, 1, 0, 1]
    area, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for place, hit in enumerate(hits, 1):
        found += hit
        recall, precision = found / sum(hits), found / place
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    places = np.flatnonzero(hits) + 1
    assert average_precision(places, "trapezoidal") == pytest.approx(area)
    assert average_precision(np.array([1, 2]), "trapezoidal") == 1.0


def test_minp_is_the_relevant_images_over_the_place_of_the_last():
    distances = np.array([[1, 2, 3, 4, 5]], np.float32)
    result = scores(distances, [7], [7, 8, 8, 7, 8], [0], [1, 1, 1, 2, 2])
    assert result.metrics["mINP"] == pytest.approx(2 / 4)


def peak_growth(work) -> int:
    """Bytes by which this process's peak resident memory grows while ``work`` runs (Linux keeps a resettable peak)."""

    def peak() -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status).group(1))

    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    work()
    return peak() - before


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's resettable peak memory")
def test_memory_is_bounded_by_the_block():
    """6,000 x 10,000 distances take 240 MB; blocks of 4 MB must do with a small part of that."""
    rng = np.random.default_rng(0)
    query, gallery = torch.randn(6000, 8), torch.randn(10000, 8)
    named = labels(rng, 6000, 10000, identities=1000, cameras=4)
    assert max(block.nbytes for _, block in distance_blocks(query, gallery, "cosine", 2**22)) <= 2**22
    assert peak_growth(lambda: evaluate(query, gallery, *named, block_bytes=2**22)) < 40 * 2**20


def test_features_may_be_numpy_arrays():
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(40, 8)).astype(np.float32)
    named = [rng.integers(0, 4, 5), rng.integers(0, 4, 40), rng.integers(0, 3, 5), rng.integers(0, 3, 40)]
    from_arrays = evaluate(query, gallery, *named)
    assert from_arrays.metrics == evaluate(torch.from_numpy(query), torch.from_numpy(gallery), *named).metrics
