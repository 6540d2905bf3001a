"""The picture of ranked results shows the order that was scored, re-ranked or plain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from reid.datasets import Person, ReidData
from reid.picture import SHOWN, chosen_queries, nearest_images
from reid.ranking import average_precision
from reid.recipe import ReidRecipe
from reid.score import Retrieval, distances_between, rank


def people(count: int, camera: int) -> tuple[Person, ...]:
    return tuple(Person(f"{camera}-{index}.jpg", index % 6, camera) for index in range(count))


@pytest.mark.parametrize("rerank", [False, True])
def test_precision_counted_on_the_picture_is_the_querys(rerank: bool) -> None:
    data = ReidData("set", "set", (), people(12, 0), people(SHOWN, 1), version="1")
    draws = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 8, generator=draws)
    query, gallery = (
        centres[[person.identity for person in part]] + 1.5 * torch.randn(len(part), 8, generator=draws)
        for part in (data.query, data.gallery)
    )
    recipe = ReidRecipe(rerank=rerank)
    distances = distances_between(query, gallery, recipe)
    found = Retrieval(rank(distances, data, recipe, Fabric(accelerator="cpu", devices=1)), distances, query, gallery)
    rows = chosen_queries(found)
    for row, near in zip(rows, nearest_images(rows, data, found), strict=True):
        right = [data.gallery[index].identity == data.query[row].identity for index in near]
        places = np.flatnonzero(right) + 1
        assert average_precision(places) == pytest.approx(found.ranking.queries.average_precision[row])
