"""What re-identification with one backbone on one set came to: scores, chance level, sizes and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ReidOutcome:
    """The result of :func:`reid.train.run_reid`.

    ``metrics`` has rank1, rank5, rank10, rank20, mAP and mINP, fractions of 1; ``chance`` the exact expectation of each
    for a gallery in random order; ``per_query`` the score of every query that has a match, in the set's order, and
    ``query_persons`` whose query it is, for intervals and for comparing two backbones in pairs.
    ``part_dim`` channels describe one part and ``feature_dim`` the whole image. Multiply-adds are for one image:
    ``macs`` of all that describes it and ``backbone_macs``, both at the true input; ``paper_macs`` of the backbone by
    the rule of Table 5, which is at 224x224 with the last stride kept.
    """

    metrics: Mapping[str, float]
    chance: Mapping[str, float]
    per_query: Mapping[str, np.ndarray]
    query_persons: np.ndarray
    queries: int
    queries_without_match: int
    parts: int
    part_dim: int
    feature_dim: int
    parameters: int
    macs: int
    backbone_parameters: int
    backbone_macs: int
    paper_macs: int
    input_size: tuple[int, int]
    data_title: str
    data_version: str
    data_notes: Sequence[str]
    data_is_published: bool  # by its numbers of images
    history: Sequence[Mapping[str, float]]
    seconds: float
    images_per_second: float | None
    peak_memory_bytes: int | None
    attempts: int
    device: str
    picture: Path | None
    weights: Path | None = None  # the trained network, which can be scored again
