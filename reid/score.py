"""The score of a network on a set: descriptors of queries and gallery, then the ranking, shared among the processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nas.progress import Report, silent
from reid.datasets import Person, ReidData, labels_of
from reid.distances import distance_blocks
from reid.extract import extract_features, gather_shards
from reid.images import ImageLoader
from reid.ranking import Gallery, QueryScores, Ranking, score_queries, summarise
from reid.recipe import ReidRecipe
from reid.reranking import Reranking
from reid.sampling import shard

# Gives, for a list of queries, blocks (first row, distances (rows, g) to the gallery).
Distances = Callable[[Sequence[int]], Iterable[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class Retrieval:
    """A ranking with the distances and the descriptors (q, d) and (g, d) it came from."""

    ranking: Ranking
    distances: Distances
    query: Tensor
    gallery: Tensor


def score_network(
    network: nn.Module,
    data: ReidData,
    recipe: ReidRecipe,
    fabric: Fabric,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    workers: int = 0,
    report: Report = silent,
) -> Retrieval:
    """Describe the images of ``data`` by ``network`` and rank its gallery for every query, as ``recipe`` says."""

    def part(people: tuple[Person, ...], stage: str) -> Tensor:
        paths = [person.path for person in people]
        return describe(network, paths, recipe, fabric, mean, std, workers=workers, report=report, stage=stage)

    query, gallery = part(data.query, "describe queries"), part(data.gallery, "describe gallery")
    distances = distances_between(query, gallery, recipe)
    return Retrieval(rank(distances, data, recipe, fabric), distances, query, gallery)


def describe(
    network: nn.Module,
    paths: Sequence[str],
    recipe: ReidRecipe,
    fabric: Fabric,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    workers: int = 0,
    report: Report = silent,
    stage: str = "describe",
) -> Tensor:
    """Descriptors (n, d) of the images at ``paths`` as ``recipe`` wants them (size, mirror images)."""
    loader = ImageLoader(paths, recipe.height, recipe.width, fabric.device, workers=workers)
    return extract_features(network, loader, mean, std, fabric, flip=recipe.flip_test, report=report, stage=stage)


def distances_between(query: Tensor, gallery: Tensor, recipe: ReidRecipe) -> Distances:
    """The distances that ``recipe`` ranks by, of descriptors (q, d) and (g, d): plain ones, or re-ranked."""
    if recipe.rerank:
        return Reranking.of(query, gallery, metric=recipe.metric).blocks
    return lambda rows: distance_blocks(query, gallery, recipe.metric, rows=rows)


def rank(distances: Distances, data: ReidData, recipe: ReidRecipe, fabric: Fabric) -> Ranking:
    """Score the queries, each process taking its share of them."""
    query_ids, query_cameras = labels_of(data.query)
    mine = shard(len(query_ids), fabric.global_rank, fabric.world_size)
    gallery = Gallery(*labels_of(data.gallery))
    scores = score_queries(distances(mine), gallery, query_ids[mine], query_cameras[mine], recipe.average_precision)
    return summarise(_gather_scores(fabric, scores, len(query_ids)), recipe.average_precision)


def _gather_scores(fabric: Fabric, scores: QueryScores, total: int) -> QueryScores:
    columns = [torch.from_numpy(getattr(scores, field.name)) for field in fields(scores)]
    return QueryScores(*(np.asarray(gather_shards(fabric, column, total).cpu()) for column in columns))
