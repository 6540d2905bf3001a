"""The zoo's data: complete, sourced, and of the size that its sources print."""

import pytest

from nas import build_network, count, zoo


def test_every_cell_has_a_source_and_a_paper():
    for name in zoo.names():
        entry = zoo.entry(name)
        assert entry.name == name and entry.paper and entry.searched_on
        assert entry.sources and entry.agreement >= 1
        assert bool(entry.published) == bool(entry.published_source)


def test_cells_of_the_other_spaces_are_there():
    assert {"nasnet_a", "amoebanet_a", "pnas", "enas_micro_figure", "fairdarts_a", "setn"} <= set(zoo.names())
    assert len(zoo.names()) == 88


@pytest.mark.parametrize("name", [n for n in zoo.names() if zoo.entry(n).parameters_match.get("c10_params_M")])
def test_cells_marked_as_matching_have_the_published_cifar_parameters(name):
    published = str(zoo.entry(name).published["c10_params_M"])
    decimals = len(published.partition(".")[2])
    millions = count(build_network(name), 8).parameters / 1e6
    assert millions == pytest.approx(float(published), abs=10**-decimals)
