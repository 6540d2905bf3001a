"""Random cells: valid, distinct, reproducible, restricted like searched ones."""

import pytest

from nas.errors import NaswildError
from nas.genotype import Genotype
from nas.search import random_genotype
from nas.search.random import CHOICES


def test_cells_are_valid_and_distinct():
    cells = [random_genotype(seed) for seed in range(50)]
    assert len({cell.digest for cell in cells}) == 50
    for cell in cells:
        for spec in (cell.normal, cell.reduce):
            assert all(len({edge.input for edge in node}) == 2 for node in spec.nodes)
            assert spec.concat == (2, 3, 4, 5)
            assert Genotype.load(cell.to_text()) == cell


def test_the_seed_decides():
    assert random_genotype(3) == random_genotype(3)
    assert random_genotype(0).digest == random_genotype(0, max_skips=8).digest


def test_every_operation_and_input_occurs():
    cells = [random_genotype(seed).normal for seed in range(60)]
    edges = [(edge.operation, edge.input) for cell in cells for node in cell.nodes for edge in node]
    assert {name for name, _ in edges} == set(CHOICES)
    assert {i for _, i in edges} == {0, 1, 2, 3, 4}
    counts = [sum(name == choice for name, _ in edges) for choice in CHOICES]
    assert min(counts) > len(edges) / len(CHOICES) / 2  # uniform, roughly


@pytest.mark.parametrize("limit", [0, 2, 8])
def test_skip_connects_are_restricted_as_in_a_search(limit):
    assert all(random_genotype(seed, limit).normal.skips <= limit for seed in range(20))
    assert all(random_genotype(seed, limit, exact=True).normal.skips == limit for seed in range(20))


def test_an_impossible_restriction_is_refused():
    with pytest.raises(NaswildError, match="0 to 8"):
        random_genotype(0, max_skips=9)
