"""Supernets in pairs: the plain definition and ours with the same parameters, in double precision."""

import pytest
import torch

from nas.operations import SEARCH_SPACE
from nas.search.plain_supernet import PlainSupernet
from nas.search.recipe import SearchRecipe
from nas.search.space import CELLS, EDGES, edges_out_of
from nas.search.supernet import Supernet


def correspondence(plain, fast):
    """(name, plain tensor, our tensor, the rows of ours that stand for it) for every parameter and statistic."""
    yield from _same(plain.stem, fast.stem)
    yield from _same(plain.classifier, fast.classifier)
    for p, f in zip(plain.cells, fast.cells):
        yield from _same(p.preprocess0, f.preprocess0)
        yield from _same(p.preprocess1, f.preprocess1)
        for ours in f.mixed:
            members = ours.members
            for name, norm in ours.norms.items():
                for number, source in enumerate(members.sources):
                    rows = slice(number * ours.channels, (number + 1) * ours.channels)
                    for edge in edges_out_of(source):  # its pooling is the same for all edges that have it
                        for theirs in p.edges[edge].operations:
                            if theirs.name == name:
                                yield from _statistics(theirs.norm, norm, rows)
            for kind in ours.stacks:
                for block, (local, name) in enumerate(members.blocks(kind)):
                    theirs = _candidate(p, members.edges[local], name)
                    yield from _separable(theirs, ours.stacks[kind], members, name, local, kind, block)
            for source, edges in enumerate(members.by_source("skip_connect") if ours.stride == 2 else ()):
                for place, local in enumerate(edges):
                    theirs = _candidate(p, members.edges[local], "skip_connect")
                    yield from _reduction(theirs.operation, ours.reductions[str(source)], place)


def _candidate(plain_cell, edge, name):
    return next(op for op in plain_cell.edges[edge].operations if op.name == name)


def _same(plain, fast):
    for (name, p), (_, f) in zip(plain.named_parameters(), fast.named_parameters(), strict=True):
        yield name, p, f, slice(None)
    for (name, p), (_, f) in zip(plain.named_buffers(), fast.named_buffers(), strict=True):
        if "num_batches" not in name:
            yield name, p, f, slice(None)


def _statistics(plain, fast, rows):
    yield "running_mean", plain.running_mean, fast.running_mean, rows
    yield "running_var", plain.running_var, fast.running_var, rows


def _reduction(op, stack, place):
    c = op.norm.num_features
    yield "even", op.even.weight, stack.even.weight, slice(place * (c // 2), (place + 1) * (c // 2))
    yield "odd", op.odd.weight, stack.odd.weight, slice(place * (c - c // 2), (place + 1) * (c - c // 2))
    yield from _statistics(op.norm, stack.norm, slice(place * c, (place + 1) * c))


def _separable(theirs, stack, members, name, local, kind, block):
    number = members.kinds[kind].index(name)
    place = [edge for edges in members.by_source(name) for edge in edges].index(local)
    for repeat, norm in enumerate(stack.norms):
        depthwise, pointwise, plain_norm = list(theirs.operation)[4 * repeat + 1 : 4 * repeat + 4]
        c = plain_norm.num_features
        yield "depthwise", depthwise.weight, stack.depthwise[repeat][number], slice(place * c, (place + 1) * c)
        yield "pointwise", pointwise.weight, stack.pointwise[repeat], slice(block * c, (block + 1) * c)
        yield from _statistics(plain_norm, norm, slice(block * c, (block + 1) * c))


@pytest.fixture
def pair():
    """``pair(operations, channels, cells)`` -> (plain, ours): the same parameters, double precision."""

    def build(operations, channels=4, cells=3, recipe=None):
        torch.manual_seed(0)
        plain = PlainSupernet(operations, channels, cells, 5).double()
        fast = Supernet(operations, channels, cells, 5, recipe or SearchRecipe()).double()
        with torch.no_grad():
            for _, p, f, rows in correspondence(plain, fast):
                f[rows].copy_(p)
        return plain, fast

    build.correspondence = correspondence
    return build


@pytest.fixture(params=["stage 1", "stage 2", "stage 3"])
def stage_operations(request):
    """Operation sets of a stage: all eight, or five or three that differ from edge to edge."""
    keep = {"stage 1": 8, "stage 2": 5, "stage 3": 3}[request.param]
    draw = torch.Generator().manual_seed(keep)
    return {
        cell: tuple(
            tuple(SEARCH_SPACE[i] for i in sorted(torch.randperm(8, generator=draw)[:keep].tolist())) for _ in EDGES
        )
        for cell in CELLS
    }
