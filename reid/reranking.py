"""k-reciprocal re-ranking in sparse matrices: a query's distances are corrected by whether neighbours are mutual.

Source: Zhong, Zheng, Cao, Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. The
published code holds several dense matrices over all images (35 GB each for MSMT17); here only each image's neighbours
are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix
from torch import Tensor

from nas.errors import NaswildError
from reid.distances import BLOCK_BYTES, Metric, distance_blocks

K1, K2, WEIGHT = 20, 6, 0.3  # the paper's k1, k2 and lambda (section 4.2)


@dataclass(frozen=True)
class Neighbours:
    """The nearest images of each image, itself first: indices (n, k), and the largest squared distance of each (n,)."""

    indices: np.ndarray
    scale: np.ndarray


def estimated_bytes(images: int, dimensions: int, k1: int = K1, k2: int = K2, block_bytes: int = BLOCK_BYTES) -> int:
    """Memory re-ranking takes above the features: their joined copy, neighbours, the sparse encodings, two blocks.

    An encoding has at most k1 + 1 entries and those of half-size neighbourhoods; averaged over k2 neighbours, about k2
    times the usual 2 k1. A sparse entry takes 8 bytes; two encodings and one transpose live at the same time. A block
    of distances is in use while the next one is computed.
    """
    entries = images * 2 * k1 * (1 + 2 * k2)
    blocks = 2 * min(block_bytes, 4 * images**2)
    return 4 * images * dimensions + images * (k1 + 1) * 8 + 8 * entries + blocks


def require_memory(images: int, dimensions: int, k1: int = K1, k2: int = K2, block_bytes: int = BLOCK_BYTES) -> None:
    """Raise :class:`NaswildError` before a re-ranking starts that this machine's free memory does not hold."""
    needed, free = estimated_bytes(images, dimensions, k1, k2, block_bytes), free_memory_bytes()
    if free is not None and needed > free:
        raise NaswildError(
            f"re-ranking {images:,} images needs about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free; "
            "use the plain ranking, fewer parts, or the reduced descriptor"
        )


def free_memory_bytes() -> int | None:
    """Memory that can be taken without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except FileNotFoundError:
        return None
    return int(dict(line.split(":", 1) for line in lines)["MemAvailable"].split()[0]) * 1024


@dataclass(frozen=True)
class Reranking:
    """All images of a set encoded, so that the distances of any queries can be corrected; made by :meth:`of`.

    ``features`` are those of the ``queries`` queries and then of the gallery, ``encoding`` is by image and ``columns``
    the same by column, ``scale`` the largest squared distance of each image.
    """

    features: Tensor
    queries: int
    encoding: csr_matrix
    columns: csc_matrix
    scale: np.ndarray
    weight: float

    @classmethod
    def of(
        cls,
        query: Tensor,
        gallery: Tensor,
        *,
        metric: Metric = "cosine",
        k1: int = K1,
        k2: int = K2,
        weight: float = WEIGHT,
        block_bytes: int = BLOCK_BYTES,
    ) -> Reranking:
        """Encode ``query`` (q, d) and ``gallery`` (g, d); raises :class:`NaswildError` if the memory will not do."""
        require_memory(len(query) + len(gallery), query.shape[1], k1, k2, block_bytes)
        everyone = torch.empty(len(query) + len(gallery), query.shape[1], device=query.device)
        everyone[: len(query)], everyone[len(query) :] = query, gallery
        if metric == "cosine":  # in place: the joined descriptors are most of the memory that re-ranking takes
            everyone /= torch.linalg.vector_norm(everyone, dim=1, keepdim=True).clamp_min_(1e-12)
        near = nearest(everyone, k1 + 1, block_bytes)
        encoding = encode(everyone, near, k1)
        if k2 > 1:
            encoding = expand_query(encoding, near.indices[:, :k2])
        return cls(everyone, len(query), encoding, encoding.tocsc(), near.scale, weight)

    def blocks(
        self, rows: Sequence[int] | None = None, block_bytes: int = BLOCK_BYTES
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield ``(first row, re-ranked distances)`` of the queries ``rows`` (default all), to be scored as plain ones.

        Final distance: (1 - weight) * Jaccard distance of the encodings + weight * the relative original distance (Eq.
        12). Equals the published code on Euclidean distances.
        """
        mine = range(self.queries) if rows is None else rows
        targets = self.features[self.queries :]
        asked = self.features[: self.queries]
        for start, squared in distance_blocks(asked, targets, "euclidean", block_bytes, mine):
            for row, distances in enumerate(squared, start):
                person = mine[row]
                shared = _overlap(self.encoding, self.columns, person)[self.queries :]
                distances *= self.weight / self.scale[person]
                distances += (1 - self.weight) * (1 - shared / (2 - shared))
            yield start, squared


def nearest(features: Tensor, count: int, block_bytes: int = BLOCK_BYTES) -> Neighbours:
    """The ``count`` nearest of all images for each of ``features`` (n, d), by Euclidean distance."""
    indices, scales = [], []
    for _, block in distance_blocks(features, features, "euclidean", block_bytes):
        squared = torch.from_numpy(block)
        indices.append(squared.topk(min(count, len(features)), largest=False).indices.numpy())
        scales.append(squared.amax(dim=1).numpy())
    return Neighbours(np.concatenate(indices), np.concatenate(scales))


def encode(features: Tensor, near: Neighbours, k1: int = K1) -> csr_matrix:
    """Each image's expanded k-reciprocal neighbours with weights exp(-distance) that sum to 1 (Eqs. 2 to 7), as (n, n).

    The distance is the squared one over the image's largest.
    """
    size, half = len(near.indices), round(k1 / 2) + 1
    narrow = [_reciprocal(near.indices, image, half) for image in range(size)]
    columns, entries, ends = [], [], [0]
    for image in range(size):
        members = _expanded(_reciprocal(near.indices, image, k1 + 1), narrow)
        squared = (features[members] - features[image]).square().sum(dim=1).cpu().numpy()
        weights = np.exp(-squared / near.scale[image])
        columns.append(members)
        entries.append((weights / weights.sum()).astype(np.float32))
        ends.append(ends[-1] + len(members))
    return csr_matrix((np.concatenate(entries), np.concatenate(columns), ends), shape=(size, size))


def _expanded(own: np.ndarray, narrow: Sequence[np.ndarray]) -> np.ndarray:
    """``own`` and the narrow mutual neighbours of its members, where over two thirds of them lie in it (Eq. 3)."""
    added = [narrow[member] for member in own]
    added = [other for other in added if 3 * len(np.intersect1d(other, own)) > 2 * len(other)]
    return np.unique(np.concatenate([own, *added]))


def _reciprocal(indices: np.ndarray, image: int, count: int) -> np.ndarray:
    """Those of the ``count`` nearest of ``image`` that have ``image`` among their ``count`` nearest (Eq. 2)."""
    forward = indices[image, :count]
    return forward[(indices[forward, :count] == image).any(axis=1)]


def expand_query(encoding: csr_matrix, neighbours: np.ndarray) -> csr_matrix:
    """Local query expansion: each encoding becomes the mean of its k2 nearest images' encodings (Eq. 11)."""
    size, k2 = neighbours.shape
    ends = np.arange(0, size * k2 + 1, k2)
    average = csr_matrix((np.full(size * k2, 1 / k2, np.float32), neighbours.ravel(), ends), shape=(size, size))
    return average @ encoding


def _overlap(encoding: csr_matrix, columns: csc_matrix, person: int) -> np.ndarray:
    """Sum over the entries of ``person``'s encoding of the minimum with every other image's entry (Eq. 10), (n,)."""
    total = np.zeros(encoding.shape[0], np.float32)
    low, high = encoding.indptr[person : person + 2]
    for column, value in zip(encoding.indices[low:high], encoding.data[low:high]):
        begin, end = columns.indptr[column : column + 2]
        total[columns.indices[begin:end]] += np.minimum(value, columns.data[begin:end])
    return total
