"""Derivation, pruning and refinement against the rules written out plainly, on hand-made architecture weights."""

import math
import random

import pytest
import torch

from nas.errors import NaswildError
from nas.genotype import CellSpec, Edge
from nas.operations import SEARCH_SPACE
from nas.search import alternatives, derive, prune
from nas.search.derivation import UnreachableSkips
from nas.search.space import EDGES, full_space


def random_case(seed, keep=8):
    """Random operation sets of ``keep`` names an edge and alphas for them."""
    draw = random.Random(seed)
    operations = {
        cell: [sorted(draw.sample(SEARCH_SPACE, keep), key=SEARCH_SPACE.index) for _ in EDGES]
        for cell in ("normal", "reduce")
    }
    alphas = {cell: [[draw.gauss(0, 1) for _ in range(keep)] for _ in EDGES] for cell in operations}
    return operations, alphas


def softmax(row):
    return [math.exp(a) / sum(math.exp(b) for b in row) for a in row]


def table(operations, alphas, cell):
    """{(input, node): {operation: weight}} with "none" set to zero."""
    weights = {}
    for (i, node), names, row in zip(EDGES, operations[cell], alphas[cell]):
        weights[i, node] = {name: 0.0 if name == "none" else w for name, w in zip(names, softmax(row))}
    return weights


def plain_cell(weights):
    """DARTS: for each node the two inputs whose strongest operation is strongest, by exhaustive comparison."""
    nodes = []
    for node in (2, 3, 4, 5):
        strength = {i: max(weights[i, node].values()) for i in range(node)}
        inputs = sorted(sorted(strength, key=strength.get, reverse=True)[:2])
        nodes.append(tuple(Edge(max(weights[i, node], key=weights[i, node].get), i) for i in inputs))
    return CellSpec(tuple(nodes), (2, 3, 4, 5))


def skip_edges(cell):
    return [(e.input, node) for node, edges in enumerate(cell.nodes, start=2) for e in edges if e[0] == "skip_connect"]


def plain_refined(weights, limit, refinement):
    """Section 4.3.2: zero the surplus skip-connects of the topology, build again, until at most ``limit`` are left."""
    weights = {edge: dict(row) for edge, row in weights.items()}
    while True:
        cell = plain_cell(weights)
        skips = sorted(skip_edges(cell), key=lambda edge: weights[edge]["skip_connect"])
        surplus = len(skips) - limit
        if surplus <= 0:
            return cell
        for edge in skips[:surplus] if refinement == "at_once" else skips[:1]:
            weights[edge]["skip_connect"] = 0.0


@pytest.mark.parametrize("keep", [8, 5, 3])
def test_derivation_equals_the_rule_written_out(keep):
    for seed in range(20):
        operations, alphas = random_case(seed, keep)
        found = derive(operations, alphas)
        assert found.normal == plain_cell(table(operations, alphas, "normal"))
        assert found.reduce == plain_cell(table(operations, alphas, "reduce"))


@pytest.mark.parametrize("refinement", ["at_once", "one_by_one"])
def test_refinement_equals_the_rule_written_out(refinement):
    rounds = 0
    for seed in range(20):
        operations, alphas = random_case(seed)
        for row in alphas["normal"]:
            row[SEARCH_SPACE.index("skip_connect")] += 3.0
        for limit in range(5):
            found = derive(operations, alphas, max_skips=limit, refinement=refinement)
            assert found.normal == plain_refined(table(operations, alphas, "normal"), limit, refinement)
            assert found.normal.skips <= limit
            rounds += found.normal != derive(operations, alphas).normal
    assert rounds > 50  # the restriction did something


def biased(skips):
    """Alphas that prefer skip-connects of these strengths on the edges into node 2 and 3, sep_conv_3x3 elsewhere."""
    alphas = {cell: [[0.0] * 8 for _ in EDGES] for cell in ("normal", "reduce")}
    for edge in range(len(EDGES)):
        alphas["normal"][edge][SEARCH_SPACE.index("sep_conv_3x3")] = 1.0
        if edge in skips:
            alphas["normal"][edge][SEARCH_SPACE.index("skip_connect")] = skips[edge]
    return alphas


def test_refinement_removes_weakest_skip_first():
    alphas = biased({0: 3.0, 1: 2.0, 2: 4.0, 3: 2.5})
    nodes = derive(full_space(), alphas, max_skips=2).normal.nodes
    assert nodes[0] == (Edge("skip_connect", 0), Edge("sep_conv_3x3", 1))
    assert Edge("skip_connect", 0) in nodes[1]
    assert derive(full_space(), alphas, max_skips=3).normal.skips == 3


def test_both_ways_of_refinement_agree():
    """A skip-connect that comes in is never stronger than the one it replaces, so it is the next to go either way."""
    for seed in range(50):
        operations, alphas = random_case(seed)
        for row in alphas["normal"]:
            row[SEARCH_SPACE.index("skip_connect")] += 2.0
        for limit in range(6):
            at_once = derive(operations, alphas, limit, refinement="at_once")
            assert at_once == derive(operations, alphas, limit, refinement="one_by_one")


def test_exact_adds_the_strongest_skips_of_the_same_topology():
    operations, alphas = random_case(0)
    for row in alphas["normal"]:
        row[SEARCH_SPACE.index("skip_connect")] -= 5.0
    free = derive(operations, alphas).normal
    exact = derive(operations, alphas, max_skips=3, exact=True).normal
    assert free.skips == 0
    assert exact.skips == 3
    assert [[e.input for e in n] for n in exact.nodes] == [[e.input for e in n] for n in free.nodes]
    weights = table(operations, alphas, "normal")
    chosen = skip_edges(exact)
    edges = [(e.input, node) for node, n in enumerate(free.nodes, start=2) for e in n]
    assert sorted(chosen) == sorted(sorted(edges, key=lambda e: weights[e]["skip_connect"])[-3:])


def test_exact_also_removes():
    alphas = biased({0: 3.0, 1: 2.0, 2: 4.0, 3: 2.5})
    assert derive(full_space(), alphas, max_skips=1, exact=True).normal.skips == 1


def test_the_reduction_cell_is_not_restricted():
    alphas = biased({})
    for row in alphas["reduce"]:
        row[SEARCH_SPACE.index("skip_connect")] = 2.0
    assert derive(full_space(), alphas, max_skips=0).reduce.skips == 8


def test_none_takes_part_in_the_softmax_only():
    alphas = biased({})
    alphas["normal"][0][0] = 9.0  # "none" leads edge 0 and leaves its other operations almost nothing
    alphas["normal"][2][0] = 9.0
    nodes = derive(full_space(), alphas).normal.nodes
    assert nodes[0] == (Edge("sep_conv_3x3", 0), Edge("sep_conv_3x3", 1))
    assert [edge.input for edge in nodes[1]] == [1, 2]


def test_ties_go_to_the_earlier_input_and_operation():
    alphas = {cell: [[0.0] * 8 for _ in EDGES] for cell in ("normal", "reduce")}
    for node in derive(full_space(), alphas).normal.nodes:
        assert node == (Edge("max_pool_3x3", 0), Edge("max_pool_3x3", 1))


def test_tensors_and_lists_give_the_same():
    operations, alphas = random_case(4)
    tensors = {cell: torch.tensor(rows, dtype=torch.float64) for cell, rows in alphas.items()}
    assert derive(operations, tensors, 2) == derive(operations, alphas, 2)


def test_unreachable_numbers_of_skips_are_refused():
    operations = {cell: [["none", "skip_connect"]] * len(EDGES) for cell in ("normal", "reduce")}
    alphas = {cell: [[0.0, 1.0]] * len(EDGES) for cell in operations}
    with pytest.raises(UnreachableSkips, match="at most 2"):
        derive(operations, alphas, max_skips=2)
    without = {cell: [["none", "sep_conv_3x3"]] * len(EDGES) for cell in ("normal", "reduce")}
    with pytest.raises(UnreachableSkips, match="exactly 2"):
        derive(without, alphas, max_skips=2, exact=True)
    assert list(alternatives(operations, alphas)) == [8]


def test_alternatives_cover_every_restriction():
    operations, alphas = random_case(7)
    for row in alphas["normal"]:
        row[SEARCH_SPACE.index("skip_connect")] += 4.0
    found = alternatives(operations, alphas)
    assert list(found) == list(range(9))
    assert [g.normal.skips for g in found.values()] == sorted(g.normal.skips for g in found.values())
    assert found[2] == derive(operations, alphas, max_skips=2)


@pytest.mark.parametrize(("keep", "then"), [(8, 5), (5, 3)])
def test_pruning_keeps_the_largest_weights_of_each_edge_in_order(keep, then):
    operations, alphas = random_case(5, keep)
    pruned = prune(operations, alphas, then)
    for cell in ("normal", "reduce"):
        for names, row, kept in zip(operations[cell], alphas[cell], pruned[cell]):
            best = sorted(names, key=lambda name: -row[names.index(name)])[:then]
            assert list(kept) == [name for name in names if name in best]


def test_none_survives_pruning_if_it_is_strong():
    alphas = biased({})
    alphas["normal"][3][0] = 5.0
    pruned = prune(full_space(), alphas, 3)
    assert "none" in pruned["normal"][3]


@pytest.mark.parametrize(
    ("part", "where", "value", "message"),
    [
        ("alphas", ("normal",), [[0.0] * 8] * 13, "shape"),
        ("alphas", ("normal", 2), [0.0] * 7, "shape"),
        ("operations", ("reduce",), [], "reduce cell: expected one list"),
        ("operations", ("normal", 4), ["conv_9x9"] * 8, "normal cell, edge 4"),
        ("alphas", ("reduce", 0), [float("nan")] * 8, "not a finite number"),
    ],
)
def test_errors_name_the_cell(part, where, value, message):
    case = dict(zip(("operations", "alphas"), random_case(1)))
    *path, last = where
    target = case[part]
    for key in path:
        target = target[key]
    target[last] = value
    with pytest.raises(NaswildError, match=message):
        derive(**case)


def test_edge_weights_scale_the_strength_of_an_input():
    alphas = biased({})
    edge_weights = {cell: [1.0] * len(EDGES) for cell in ("normal", "reduce")}
    edge_weights["normal"][2] = 0.1  # input 0 of node 3
    assert [e.input for e in derive(full_space(), alphas, edge_weights=edge_weights).normal.nodes[1]] == [1, 2]
