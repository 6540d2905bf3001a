"""Distances between query and gallery features, a block of queries at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nas.errors import NaswildError

Metric = Literal["cosine", "euclidean"]

# 64 MiB hold 1,054 queries against Market-1501's gallery and 204 against MSMT17's: enough rows for a fast product.
BLOCK_BYTES = 64 * 2**20


def rows_per_block(gallery_size: int, block_bytes: int = BLOCK_BYTES) -> int:
    """How many queries' float32 distances to ``gallery_size`` images fit in ``block_bytes`` (at least one)."""
    return max(1, block_bytes // (4 * max(gallery_size, 1)))


def checked_norms(features: Tensor, name: str) -> Tensor:
    """Euclidean length of each row of (n, d) ``features``; raises :class:`NaswildError` where a row is not finite."""
    if features.ndim != 2:
        raise NaswildError(f"{name} features must be a matrix (images, dimensions), got shape {tuple(features.shape)}")
    norms = torch.linalg.vector_norm(features, dim=1)
    # A squared length that overflows would make infinite distances, so it counts as not finite, too.
    bad = (~norms.square().isfinite()).nonzero()
    if len(bad):
        raise NaswildError(f"{name} features are not finite in {len(bad)} rows, the first is row {int(bad[0])}")
    return norms


def distance_blocks(
    query: Tensor,
    gallery: Tensor,
    metric: Metric = "cosine",
    block_bytes: int = BLOCK_BYTES,
    rows: Sequence[int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(first row, distances)`` where distances is a float32 array (rows, gallery) of at most ``block_bytes``.

    ``query`` is (q, d) and ``gallery`` (g, d), on any device; with ``rows`` only these queries count, in this order
    (a range takes no copy of them).
    Cosine distance is 1 - cos, Euclidean distance squared, which ranks alike. Both are torchreid's
    ``compute_distance_matrix``, without its full matrix.
    """
    if metric not in ("cosine", "euclidean"):
        raise NaswildError(f"unknown distance {metric!r}; use 'cosine' or 'euclidean'")
    if rows is not None:
        query = query[rows.start : rows.stop : rows.step] if isinstance(rows, range) else query[list(rows)]
    query, gallery = query.float(), gallery.float()
    query_norms, gallery_norms = checked_norms(query, "query"), checked_norms(gallery, "gallery")
    measure = _cosine if metric == "cosine" else _squared_euclidean
    step = rows_per_block(len(gallery), block_bytes)
    for start in range(0, len(query), step):
        block, norms = query[start : start + step], query_norms[start : start + step, None]
        yield start, measure(block, gallery, norms, gallery_norms).cpu().numpy()


def _cosine(block: Tensor, gallery: Tensor, norms: Tensor, gallery_norms: Tensor) -> Tensor:
    cosines = (block / norms.clamp_min(1e-12)) @ gallery.T
    # The gallery is scaled after the product: a normalised copy of it would double the memory.
    scale = gallery_norms.clamp_min(1e-12).reciprocal()
    return torch.addcmul(torch.ones((), device=block.device), cosines, scale, value=-1, out=cosines)


def _squared_euclidean(block: Tensor, gallery: Tensor, norms: Tensor, gallery_norms: Tensor) -> Tensor:
    squares = norms.square() + gallery_norms.square()
    return squares.addmm_(block, gallery.T, alpha=-2)
