"""Re-ranking equals the published dense code, which torchreid carries, and looks at the memory before it starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones.torchreid_import import load_torchreid
from nas.errors import NaswildError
from reid import reranking
from reid.reranking import Reranking


def people(count: int, seed: int) -> torch.Tensor:
    """Features in clusters, as images of the same persons are."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(12, 16, generator=generator)
    return centres[torch.arange(count) % 12] + 0.6 * torch.randn(count, 16, generator=generator)


def published(query: torch.Tensor, gallery: torch.Tensor, **options: float) -> np.ndarray:
    def distance(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").numpy()

    re_ranking = load_torchreid().utils.rerank.re_ranking
    return re_ranking(distance(query, gallery), distance(query, query), distance(gallery, gallery), **options)


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (7, 3, 0.5), (5, 1, 0.0)])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equals_the_published_code(metric, k1, k2, weight):
    query, gallery = people(30, 0), people(140, 1)
    encoded = Reranking.of(query, gallery, metric=metric, k1=k1, k2=k2, weight=weight, block_bytes=2048)
    blocks = encoded.blocks(block_bytes=2048)
    ours = np.concatenate([block for _, block in blocks])
    if metric == "cosine":
        query, gallery = (torch.nn.functional.normalize(x, dim=1) for x in (query, gallery))
    np.testing.assert_allclose(ours, published(query, gallery, k1=k1, k2=k2, lambda_value=weight), atol=2e-5)


def test_a_share_of_the_queries_gets_its_own_rows():
    query, gallery = people(20, 0), people(60, 1)
    encoded = Reranking.of(query, gallery)
    whole = np.concatenate([block for _, block in encoded.blocks()])
    share = np.concatenate([block for _, block in encoded.blocks([3, 11, 19])])
    np.testing.assert_allclose(share, whole[[3, 11, 19]], atol=1e-6)


def test_too_little_memory_is_said_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(reranking, "free_memory_bytes", lambda: 10**6)
    with pytest.raises(NaswildError, match=r"re-ranking 80 images needs about .* GiB"):
        Reranking.of(people(20, 0), people(60, 1))
