"""The supernet equals its plain definition: outputs, gradients, running statistics, dropout, partial channels."""

from itertools import chain

import pytest
import torch
from torch.nn import functional

from nas.search.architecture import ArchitectureWeights, Mixture
from nas.search.plain_supernet import PlainSupernet
from nas.search.recipe import SearchRecipe
from nas.search.space import EDGES, full_space
from nas.search.stacks import SkipDropout
from nas.search.supernet import Supernet

CLOSE = {"rtol": 0.0, "atol": 1e-10}


def images(count=3, size=8):
    return torch.randn(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def losses(first, second, operations, x, skip=None):
    """The same loss and its gradients from both networks, the mixing weights being the softmax of random alphas."""
    torch.manual_seed(2)
    labels = torch.randint(0, 5, (len(x),))
    results = []
    alphas = ArchitectureWeights(operations, std=1.0).double()
    for network in (first, second):
        mixture = alphas()
        plain = isinstance(network, PlainSupernet)
        out = network(x, mixture.weights, skip) if plain else network(x, mixture)
        loss = functional.cross_entropy(out, labels)
        gradients = torch.autograd.grad(loss, [*alphas.parameters(), *network.parameters()], allow_unused=True)
        results.append((out, gradients))
    return results, len(list(alphas.parameters()))


def compare(pair, plain, fast, results, alphas):
    (out, plain_gradients), (ours, fast_gradients) = results
    torch.testing.assert_close(ours, out, **CLOSE)
    for mine, theirs in zip(fast_gradients[:alphas], plain_gradients[:alphas]):
        torch.testing.assert_close(mine, theirs, **CLOSE)
    of_plain = dict(zip(map(id, plain.parameters()), plain_gradients[alphas:]))
    of_fast = dict(zip(map(id, fast.parameters()), fast_gradients[alphas:]))
    compared = 0
    for name, p, f, rows in pair.correspondence(plain, fast):
        if id(p) in of_plain:
            torch.testing.assert_close(
                of_fast[id(f)][rows], of_plain[id(p)], **CLOSE, msg=lambda m, n=name: f"{n}: {m}"
            )
            compared += p.numel()
        else:
            torch.testing.assert_close(f[rows], p, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")
    assert compared == sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in fast.parameters())


@pytest.mark.parametrize("size", [8, 9])
def test_equals_the_plain_definition(pair, stage_operations, size):
    plain, fast = pair(stage_operations)
    results, alphas = losses(plain, fast, stage_operations, images(size=size))
    compare(pair, plain, fast, results, alphas)


def test_equals_the_plain_definition_in_evaluation_mode(pair, stage_operations):
    plain, fast = pair(stage_operations)
    losses(plain, fast, stage_operations, images())  # moves the running statistics
    plain.eval(), fast.eval()
    results, alphas = losses(plain, fast, stage_operations, images())
    compare(pair, plain, fast, results, alphas)


def dropout_calls(fast, where):
    """(cell, edges) of each call of the dropout, in order: for all edges at once, or state by state with a stride."""
    for index, cell in enumerate(fast.cells):
        for mixed in cell.mixed:
            by_state = mixed.members.by_source("skip_connect")
            if where != "all" and mixed.stride == 2:
                continue
            for edges in by_state if mixed.stride == 2 else [[*chain.from_iterable(by_state)]]:
                if edges:
                    yield index, [mixed.members.edges[local] for local in edges]


@pytest.mark.parametrize("where", ["all", "identity"])
def test_dropout_follows_each_skip_connect_with_a_mask_of_its_own(pair, stage_operations, where, monkeypatch):
    plain, fast = pair(stage_operations, recipe=SearchRecipe(skip_dropout_on=where))
    calls, masks = dropout_calls(fast, where), {}
    draw = torch.Generator().manual_seed(3)

    def drop(_, x):
        index, edges = next(calls)
        for edge, part in zip(edges, x.chunk(len(edges), dim=1)):
            masks[index, edge] = 2.0 * (torch.rand(part.shape, generator=draw) < 0.5).double()
        return x * torch.cat([masks[index, edge] for edge in edges], dim=1)

    monkeypatch.setattr(SkipDropout, "forward", drop)
    fast.set_skip_dropout(0.5)

    def skip(out, cell, edge):
        return out * masks.get((cell, edge), 1.0)

    results, alphas = losses(fast, plain, stage_operations, images(), skip)
    compare(pair, plain, fast, results[::-1], alphas)
    skips = [
        (index, edge)
        for index, cell in enumerate(fast.cells)
        for edge, connection in enumerate(EDGES)
        if "skip_connect" in stage_operations["reduce" if cell.reduction else "normal"][edge]
        if where == "all" or not (cell.reduction and connection.input < 2)
    ]
    assert sorted(masks) == skips


def test_dropout_rests_at_rate_zero_and_in_evaluation():
    drop, x = SkipDropout(), torch.ones(4, 4)
    assert drop(x) is x
    drop.rate = 0.5
    assert set(drop(x).unique().tolist()) <= {0.0, 2.0}
    assert drop.eval()(x) is x


def test_partial_channels_pass_the_operations_and_the_others_go_around():
    recipe = SearchRecipe(partial=2)
    torch.manual_seed(0)
    net = Supernet(full_space(), 4, 3, 5, recipe).double()
    cell = net.cells[0]
    weights = torch.softmax(torch.randn(14, 8, dtype=torch.float64), dim=1)
    edges = torch.rand(14, dtype=torch.float64)
    split = net.routing["normal_2"].split(weights, net.normal_2_index)
    x = torch.randn(3, 12, 6, 6, dtype=torch.float64)
    kernels = net._kernels(x)[0]  # two channels are too few for the compiled code
    states, incoming = [cell.preprocess0(x), cell.preprocess1(x)], {}
    for node in range(2, 6):
        for number, mixed in enumerate(cell.mixed):
            if max(mixed.members.sources) == node - 1:  # the states out of which edges lead are all known
                inputs = [states[source][:, :2] for source in mixed.members.sources]
                incoming |= dict(zip(mixed.members.edges, mixed(inputs, split[number], kernels[number])))
        total = 0.0
        for edge, connection in enumerate(EDGES):
            if connection.node == node:
                around = edges[edge] * states[connection.input][:, 2:]
                total = total + torch.cat([sum(incoming[edge]), around], dim=1)
        states.append(total.view(3, 2, 2, 6, 6).transpose(1, 2).reshape(3, 4, 6, 6))
    torch.testing.assert_close(cell(x, x, split, edges, kernels), torch.cat(states[2:], dim=1), **CLOSE)


def test_partial_channels_survive_a_reduction():
    net = Supernet(full_space(), 4, 3, 5, SearchRecipe(partial=4))
    arch = ArchitectureWeights(full_space(), edge_normalisation=True)
    out = net(torch.randn(2, 3, 9, 9), arch())
    out.sum().backward()
    assert out.shape == (2, 5)
    assert all(beta.grad is not None for beta in arch.betas.values())


def test_imagenet_stem_divides_by_eight():
    net = Supernet(full_space(), 4, 3, 5, SearchRecipe(stem="imagenet"))
    assert net.stem(torch.randn(2, 3, 64, 64)).shape == (2, 4, 8, 8)
    assert net(torch.randn(2, 3, 64, 64), ArchitectureWeights(full_space())()).shape == (2, 5)


def test_mixture_detach_carries_no_gradient():
    mixture = ArchitectureWeights(full_space(), edge_normalisation=True)().detach()
    assert isinstance(mixture, Mixture)
    assert not any(value.requires_grad for value in [*mixture.weights.values(), *mixture.edges.values()])


def test_the_path_for_other_devices_has_the_shapes_of_the_one_for_cpus():
    """On the meta device, which has no values: what a GPU takes must accept every shape of a whole network."""
    operations = full_space()
    network = Supernet(operations, channels=4, cells=3, num_classes=5, recipe=SearchRecipe()).to("meta")
    alphas = ArchitectureWeights(operations).to("meta")
    out = network(torch.empty(2, 3, 16, 16, device="meta"), alphas())
    assert out.shape == (2, 5)
    gradients = torch.autograd.grad(out.sum(), [*alphas.parameters(), *network.parameters()], allow_unused=True)
    assert all(g is not None for g in gradients)


def test_checkpointing_changes_nothing_but_memory():
    operations = full_space()
    outcomes = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        recipe = SearchRecipe(checkpointing=checkpointing)
        network = Supernet(operations, channels=4, cells=3, num_classes=5, recipe=recipe).double()
        network.set_skip_dropout(0.3)
        alphas = ArchitectureWeights(operations, std=1.0).double()
        torch.manual_seed(3)
        out = network(images(), alphas())
        gradients = torch.autograd.grad(out.square().sum(), [*alphas.parameters(), *network.parameters()])
        outcomes.append([out, *gradients, *network.buffers()])
    for kept, again in zip(*outcomes, strict=True):
        torch.testing.assert_close(again, kept, **CLOSE)
