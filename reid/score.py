"""The score of a network on a set: descriptors of queries and gallery, then the ranking, shared among the processes."""

from __future__ import annotations

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
from reid.reranking import reranked_blocks
from reid.sampling import shard


@dataclass(frozen=True)
class Retrieval:
    """A ranking with the descriptors it came from, (q, d) and (g, d)."""

    ranking: Ranking
    query_features: Tensor
    gallery_features: Tensor


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

    def describe(people: tuple[Person, ...], stage: str) -> Tensor:
        paths = [person.path for person in people]
        loader = ImageLoader(paths, recipe.height, recipe.width, fabric.device, workers=workers)
        return extract_features(network, loader, mean, std, fabric, flip=recipe.flip_test, report=report, stage=stage)

    query, gallery = describe(data.query, "describe queries"), describe(data.gallery, "describe gallery")
    return Retrieval(rank(query, gallery, data, recipe, fabric), query, gallery)


def rank(query: Tensor, gallery: Tensor, data: ReidData, recipe: ReidRecipe, fabric: Fabric) -> Ranking:
    """Score the queries, each process taking its share of them."""
    query_ids, query_cameras = labels_of(data.query)
    mine = list(shard(len(query), fabric.global_rank, fabric.world_size))
    if recipe.rerank:
        blocks = reranked_blocks(query, gallery, metric=recipe.metric, rows=mine)
    else:
        blocks = distance_blocks(query[mine], gallery, recipe.metric)
    scores = score_queries(
        blocks, Gallery(*labels_of(data.gallery)), query_ids[mine], query_cameras[mine], recipe.average_precision
    )
    return summarise(_gather_scores(fabric, scores, len(query)), recipe.average_precision)


def _gather_scores(fabric: Fabric, scores: QueryScores, total: int) -> QueryScores:
    columns = [torch.from_numpy(getattr(scores, field.name)) for field in fields(scores)]
    return QueryScores(*(np.asarray(gather_shards(fabric, column, total).cpu()) for column in columns))
