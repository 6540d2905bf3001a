"""Re-ranking equals the published dense code, which torchreid carries, and looks at the memory before it starts."""

from __future__ import annotations

import os
import subprocess
import sys

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
    monkeypatch.setattr(reranking, "free_memory_bytes", lambda: 10**5)
    with pytest.raises(NaswildError, match=r"re-ranking 80 images needs about .* GiB"):
        Reranking.of(people(20, 0), people(60, 1))


PEAK = """
from pathlib import Path
import torch
from reid.reranking import Reranking, estimated_bytes

torch.set_num_threads(1)
images, dimensions, block_bytes = 2500, 16384, 8 * 2**20
features = torch.empty(images, dimensions).normal_()
Reranking.of(features[:40], features[40:90])  # what libraries take once



def memory(name):  # not getrusage: its largest memory is that of the parent where the process was spawned
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


before = memory("VmRSS:")
for _ in Reranking.of(features[:500], features[500:], block_bytes=block_bytes).blocks(block_bytes=block_bytes):
    pass
peak = memory("VmHWM:")
print(estimated_bytes(images, dimensions, block_bytes=block_bytes) / (peak - before))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory of the process from /proc")
def test_the_forecast_is_what_re_ranking_takes():
    """In a process of its own, by the operating system's count of its largest memory.

    Blocks as small as the test's would stay in the C library's heap when they are freed, unless it is told otherwise.
    """
    settings = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    answer = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, env=settings)
    assert 1.0 <= float(answer.stdout) <= 1.25
