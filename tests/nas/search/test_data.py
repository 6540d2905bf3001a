"""What a search sees: halves, subsets, order, and the parts of a batch that each process gets."""

import pytest
import torch

from nas.errors import NaswildError
from nas.images import MemoryImages
from nas.proxies import Proxy
from nas.search import SearchRecipe
from nas.search.data import SearchData, split
from nas.search.team import Team

CPU = torch.device("cpu")
RECIPE = SearchRecipe(batch_size=8, augmentation={"padding": 1, "flip": True, "cutout": 0})


@pytest.fixture(scope="module")
def proxy():
    """Images that carry their own number: 50 of them, of one colour each."""
    pixels = torch.arange(50, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 6, 6).contiguous()
    images = MemoryImages(pixels, torch.arange(50))
    return Proxy("numbers", images, images, tuple(map(str, range(50))), (0.0,) * 3, (1.0,) * 3, 6, "v1")


def recipe(**changes):
    return RECIPE.model_copy(update=changes)


def test_random_halves_are_disjoint_seeded_and_cover_everything():
    first, again, other = (split(50, RECIPE, seed) for seed in (0, 0, 1))
    assert sorted(torch.cat([first["weights"], first["alphas"]]).tolist()) == list(range(50))
    assert len(first["weights"]) == len(first["alphas"]) == 25
    assert torch.equal(first["weights"], again["weights"])
    assert not torch.equal(first["weights"], other["weights"])


def test_index_halves_are_the_first_and_the_second():
    halves = split(51, recipe(halves="index"), seed=3)
    assert halves["weights"].tolist() == list(range(25))
    assert halves["alphas"].tolist() == list(range(25, 50))


@pytest.mark.parametrize("how", ["random", "index"])
def test_a_subset_of_the_images_is_seeded(how):
    first, again, other = (split(50, recipe(images=20, halves=how), seed) for seed in (0, 0, 1))
    chosen = torch.cat([first["weights"], first["alphas"]]).tolist()
    assert len(set(chosen)) == 20
    assert chosen == torch.cat([again["weights"], again["alphas"]]).tolist()
    assert set(chosen) != set(torch.cat([other["weights"], other["alphas"]]).tolist())
    if how == "index":
        assert chosen == sorted(chosen)


def test_more_images_than_there_are_is_said():
    with pytest.raises(NaswildError, match="images: 60 in the search protocol, but there are 50"):
        split(50, recipe(images=60), seed=0)


def test_an_epoch_has_whole_batches_of_its_half_in_an_order_of_its_own(proxy):
    data = SearchData(proxy, RECIPE, 0, Team(CPU))
    epochs = [[labels for _, labels in data.epoch("weights", 0, epoch)] for epoch in (0, 1)]
    assert [len(labels) for labels in epochs[0]] == [8, 8, 8]
    assert set(torch.cat(epochs[0]).tolist()) <= set(data.halves["weights"].tolist())
    assert not torch.equal(epochs[0][0], epochs[1][0])
    resumed = list(data.epoch("weights", 0, 0, first_step=2))
    assert torch.equal(resumed[0][1], epochs[0][2])


def test_processes_and_parts_divide_the_same_batches(proxy):
    """Whatever the number of processes and parts, a batch holds the same images, which look the same."""
    whole = list(SearchData(proxy, RECIPE, 0, Team(CPU)).epoch("alphas", 0, 0))
    for size, accumulate in ((2, 1), (1, 2), (2, 2)):
        team = [SearchData(proxy, RECIPE, 0, Team(CPU, rank, size, accumulate)) for rank in range(size)]
        epochs = [data.epoch("alphas", 0, 0) for data in team]
        for images, labels in whole:
            taken = [data.take(epoch) for data, epoch in zip(team, epochs)]
            parts = [taken[part % size][part // size] for part in range(size * accumulate)]
            assert torch.equal(torch.cat([part[1] for part in parts]), labels)
            assert torch.equal(torch.cat([part[0] for part in parts]), images)


def test_processes_share_the_validation(proxy):
    halves = [
        torch.cat([labels for _, labels in SearchData(proxy, RECIPE, 0, Team(CPU, rank, 2)).validation()])
        for rank in range(2)
    ]
    together = sorted(torch.cat(halves).tolist())
    assert together == sorted(SearchData(proxy, RECIPE, 0, Team(CPU)).halves["alphas"].tolist())


def test_a_batch_that_cannot_be_divided_is_said(proxy):
    for team in (Team(CPU, accumulate=3), Team(CPU, size=8)):
        with pytest.raises(NaswildError, match=f"batch of 8 images cannot be divided into {team.parts} equal parts"):
            SearchData(proxy, RECIPE, 0, team)


def test_images_are_resized_to_the_recipes_size(proxy):
    images, _ = next(SearchData(proxy, recipe(image_size=4), 0, Team(CPU)).epoch("weights", 0, 0))
    assert images.shape == (8, 3, 4, 4)
