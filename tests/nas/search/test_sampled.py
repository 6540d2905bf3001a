"""GDAS and SNAS against their papers, written out plainly: what is computed, its gradients, the cells, their cost."""

import pytest
import torch
from torch.nn import functional

from nas.genotype import Genotype
from nas.network import build_network
from nas.operations import SEARCH_SPACE, build_operation
from nas.proxies import load_proxy
from nas.search import default_recipe, derive, search
from nas.search.architecture import ArchitectureWeights
from nas.search.derivation import alternatives
from nas.search.resources import STRENGTHS, ExpectedCost, operation_cost
from nas.search.space import CELLS, CONCAT, EDGES, full_space
from nas.search.stacks import ReduceStack, SeparableStack

SPACE = full_space()


def gumbel_argmax(alphas, noise, temperature):
    """GDAS, Eq. 5 and 7: the soft sample, and which operation of each edge it is closest to."""
    soft = torch.softmax((torch.log_softmax(alphas, dim=1) + noise) / temperature, dim=1)
    return soft, soft.argmax(dim=1)


def plain_gdas(network, images, alphas, noise, temperature):
    """The network of each edge's sampled operation, times 1 with the gradient of its probability (Eq. 6)."""
    samples = {cell: gumbel_argmax(alphas[cell], noise[cell], temperature) for cell in CELLS}
    s0 = s1 = network.stem(images)
    for cell in network.cells:
        soft, index = samples["reduce" if cell.reduction else "normal"]
        states = [cell.preprocess0(s0), cell.preprocess1(s1)]
        for node in CONCAT:
            total = 0.0
            for edge, connection in enumerate(EDGES):
                if connection.node == node:
                    probability = soft[edge, index[edge]]
                    weight = 1.0 + probability - probability.detach()
                    total = total + weight * cell.edges[edge].operations[index[edge]](states[connection.input])
            states.append(total)
        s0, s1 = s1, torch.cat(states[2:], dim=1)
    return network.classifier(functional.adaptive_avg_pool2d(s1, 1).flatten(1))


@pytest.mark.parametrize("channels", [4, 2])  # compiled kernels where there are, and PyTorch's
@pytest.mark.parametrize("seed", range(3))
def test_gdas_gives_the_gradients_of_its_paper(pair, channels, seed):
    """In double precision, alphas and weights; the weights of what was not sampled get none."""
    plain, fast = pair(SPACE, channels)
    torch.manual_seed(seed)
    images, labels = torch.randn(3, 3, 8, 8, dtype=torch.float64), torch.randint(0, 5, (3,))
    arch = ArchitectureWeights(SPACE, std=1.0).double()
    noise = arch.draw_noise(torch.Generator().manual_seed(seed))
    outputs = plain_gdas(plain, images, arch.alphas, noise, 2.0), fast(images, arch("gumbel_hard", 2.0, noise))
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
    alphas = list(arch.parameters())
    theirs, ours = (
        torch.autograd.grad(functional.cross_entropy(out, labels), [*alphas, *network.parameters()], allow_unused=True)
        for out, network in zip(outputs, (plain, fast))
    )
    for mine, their in zip(ours[:2], theirs[:2]):
        torch.testing.assert_close(mine, their, rtol=0, atol=1e-10)
        assert mine.abs().max() > 1e-4
    of_plain, of_fast = (
        dict(zip(map(id, network.parameters()), gradients[2:]))
        for network, gradients in ((plain, theirs), (fast, ours))
    )
    for name, p, f, rows in pair.correspondence(plain, fast):
        if id(p) in of_plain:
            their = torch.zeros_like(p) if of_plain[id(p)] is None else of_plain[id(p)]
            mine = torch.zeros_like(f) if of_fast[id(f)] is None else of_fast[id(f)]
            torch.testing.assert_close(mine[rows], their, rtol=0, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


def test_gdas_computes_only_what_it_sampled(pair, monkeypatch):
    _, fast = pair(SPACE)
    calls = []
    for stack, kinds in ((SeparableStack, ("forward", "compiled")), (ReduceStack, ())):
        single = stack.single
        monkeypatch.setattr(stack, "single", lambda self, *args, run=single: calls.append(self) or run(self, *args))
        for whole in kinds:
            monkeypatch.setattr(stack, whole, lambda *_: pytest.fail("a whole stack was computed"))
    arch = ArchitectureWeights(SPACE, std=1.0).double()
    mixture = arch("gumbel_hard", 1.0, arch.draw_noise(torch.Generator().manual_seed(0)))
    fast(torch.randn(2, 3, 8, 8, dtype=torch.float64), mixture)
    expected = 0
    for cell in fast.cells:
        names = [SEARCH_SPACE[column] for column in mixture.chosen["reduce" if cell.reduction else "normal"]]
        expected += sum("conv" in name for name in names)
        expected += sum(n == "skip_connect" and cell.reduction and e.input < 2 for n, e in zip(names, EDGES))
    assert len(calls) == expected > 10


def test_only_the_sampled_operation_moves_its_statistics(pair):
    _, fast = pair(SPACE)
    alphas = {cell: torch.zeros(14, 8) for cell in CELLS}
    for value in alphas.values():
        value[:, SEARCH_SPACE.index("sep_conv_3x3")] = 1.0
    arch = ArchitectureWeights(SPACE).double()
    for cell in CELLS:
        arch.alphas[cell].data.copy_(alphas[cell])
    fast(torch.randn(2, 3, 8, 8, dtype=torch.float64), arch.strongest())
    stacks = fast.cells[0].mixed[0].stacks
    half = len(stacks["sep"].norms[0].running_mean) // 2  # 3x3 first, then 5x5
    assert (stacks["sep"].norms[0].running_mean[:half] != 0).all()
    assert (stacks["sep"].norms[0].running_mean[half:] == 0).all()
    assert (stacks["dil"].norms[0].running_mean == 0).all()


def test_a_node_that_only_none_leads_to_is_zero(pair):
    _, fast = pair(SPACE)
    arch = ArchitectureWeights(SPACE).double()
    for cell in CELLS:
        arch.alphas[cell].data[:, 0] = 50.0
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for mixture in (arch.strongest(), arch("gumbel_hard", 1.0, arch.draw_noise(torch.Generator().manual_seed(0)))):
        out = fast(images, mixture)
        torch.testing.assert_close(out, fast.classifier.bias.expand_as(out))
    out.sum().backward()
    assert all(alphas.grad is None or (alphas.grad == 0).all() for alphas in arch.parameters())


# -- derivation --------------------------------------------------------------------------------------------------------


def random_alphas(seed):
    draw = torch.Generator().manual_seed(seed)
    return {cell: torch.randn(14, 8, generator=draw, dtype=torch.float64) for cell in CELLS}


def two_best(alphas, node, rule):
    """The edges of a node by each paper's rule, with no order: two inputs (SNAS), two pairs (GDAS)."""
    weights = torch.softmax(alphas, dim=1)
    pairs = [
        (weights[edge, column].item(), name, connection.input)
        for edge, connection in enumerate(EDGES)
        for column, name in enumerate(SEARCH_SPACE)
        if connection.node == node and (rule == "snas" or name != "none")
    ]
    if rule == "snas":  # the best operation of each input
        pairs = [max(pair for pair in pairs if pair[2] == i) for i in range(node)]
    return {(name, i) for _, name, i in sorted(pairs)[-2:]}


@pytest.mark.parametrize("rule", ["snas", "gdas"])
def test_a_cell_is_derived_by_the_rule_of_the_paper(rule):
    shared = nothing = 0
    for seed in range(100):
        alphas = random_alphas(seed)
        genotype = derive(SPACE, alphas, rule=rule)
        for cell, spec in (("normal", genotype.normal), ("reduce", genotype.reduce)):
            for node, edges in zip(CONCAT, spec.nodes):
                assert {tuple(edge) for edge in edges} == two_best(alphas[cell], node, rule)
                shared += edges[0].input == edges[1].input
            nothing += spec.count("none")
    assert (shared > 0, nothing > 0) == (rule == "gdas", rule == "snas")


def encode(genotype):
    """Alphas that stand for a cell: each of its operations strong on its edge, two inputs a node above the others."""
    alphas = {cell: torch.zeros(14, 8, dtype=torch.float64) for cell in CELLS}
    for cell, spec in (("normal", genotype.normal), ("reduce", genotype.reduce)):
        for node, edges in zip(CONCAT, spec.nodes):
            for edge in edges:
                alphas[cell][EDGES.index((edge.input, node)), SEARCH_SPACE.index(edge.operation)] = 3.0
    return alphas


def without_order(genotype):
    return [[sorted(node) for node in spec.nodes] for spec in (genotype.normal, genotype.reduce)]


@pytest.mark.parametrize("name", ["snas_aggressive", "snas_moderate", "snas_mild"])
def test_the_published_cells_of_snas_can_be_found(name):
    published = Genotype.load(name)
    assert without_order(derive(SPACE, encode(published), rule="snas")) == without_order(published)


@pytest.mark.parametrize("rule", ["snas", "gdas"])
def test_skip_connects_are_held_to_a_limit_under_every_rule(rule):
    for seed in range(20):
        for limit, genotype in alternatives(SPACE, random_alphas(seed), rule=rule).items():
            assert genotype.normal.skips <= limit


def test_cells_of_both_rules_are_networks_that_train():
    """A cell with "none" that a node gets nothing else from, and one with two operations on one input."""
    same_input = next(
        genotype
        for genotype in (derive(SPACE, random_alphas(seed), rule="gdas") for seed in range(100))
        if any(a.input == b.input for a, b in genotype.normal.nodes)
    )
    for genotype in (derive(SPACE, encode(Genotype.load("snas_aggressive")), rule="snas"), same_input):
        assert Genotype.load(genotype.to_dict()) == genotype
        network = build_network(genotype, stem="cifar", channels=4, cells=5, num_classes=3)
        out = network(torch.randn(2, 3, 16, 16))
        (out[0] if isinstance(out, tuple) else out).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


# -- the resource constraint -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", SEARCH_SPACE)
def test_the_cost_of_an_operation_is_that_of_its_layers(name, stride):
    """Parameters and multiply-adds as counted on the module itself; memory as in the paper's reference, by hand."""
    channels, side = 6, 8
    module, macs, memory = build_operation(name, channels, stride, affine=False), [], []

    def look(layer, inputs, out):
        macs.append(out.numel() * layer.weight[0].numel())
        memory.append(inputs[0].numel() + out.numel() + layer.weight.numel())

    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(look)
    module(torch.zeros(1, channels, side, side))
    cost = operation_cost(name, channels, side, side, stride)
    pixels = (side // stride) ** 2
    assert cost.parameters == sum(p.numel() for p in module.parameters())
    assert cost.macs == (9 * channels * pixels if "pool" in name else sum(macs))
    if "conv" in name:
        assert cost.memory == sum(memory)
    elif name == "none":
        assert cost.memory == 0
    elif name == "skip_connect" and stride == 2:  # two convolutions that each read the whole state
        assert cost.memory == 2 * channels * side**2 + channels * pixels + channels**2
    else:
        assert cost.memory == channels * (side**2 + pixels)


def test_the_constraint_is_the_expectation_of_the_samples_cost(pair):
    """Sampling one-hot architectures gives, on average, the expected cost; the penalty is its logarithm by edge."""
    _, fast = pair(SPACE)
    cost = ExpectedCost(fast, 8, 8, torch.zeros(1, dtype=torch.float64))
    alphas = {cell: value / 2 for cell, value in random_alphas(0).items()}
    draw = torch.Generator().manual_seed(0)
    total = torch.zeros(3, dtype=torch.float64)
    for cell in CELLS:
        columns = torch.multinomial(torch.softmax(alphas[cell], 1), 20_000, replacement=True, generator=draw)
        share = functional.one_hot(columns, 8).double().mean(1)
        total += sum((table * share).sum((1, 2)) for table in cost.tables[cell])
    torch.testing.assert_close(cost.total(alphas), total, rtol=0.01, atol=0)
    by_hand = 0.0
    for cell in CELLS:
        for table in cost.tables[cell]:
            expected = (table * torch.softmax(alphas[cell], 1)).sum(2)
            by_hand += expected.log().sum().item() / 3 / len(cost.tables[cell])
    assert cost.penalty(alphas).item() == pytest.approx(by_hand)


def test_more_strength_lowers_the_expected_cost(tmp_path):
    """The same search at each strength: the cost of what it would sample falls, and strictly."""
    proxy, found = load_proxy("digits"), []
    macs = torch.tensor([float(operation_cost(name, 4, 8, 8, 1).macs) for name in SEARCH_SPACE])
    tiny = {"cells": (3,), "channels": (4,), "image_size": 8, "epochs": 2, "images": 256, "batch_size": 32}
    for name in STRENGTHS:
        recipe = default_recipe("snas", **tiny, resources=name, alphas_lr=0.05, validate_last=0)
        outcome = search("snas", proxy, recipe, seed=0, workdir=tmp_path / name)
        alphas = outcome.stages[0].alphas
        found.append(sum(float(torch.softmax(torch.tensor(alphas[cell]), 1).sum(0) @ macs) for cell in CELLS))
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.8 * found[0]


# -- what is reported --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["snas", "gdas"])
def test_the_accuracy_is_that_of_the_strongest_operations(method, tmp_path, monkeypatch):
    """Every validation sees one operation an edge, that with the largest alpha; the record says so."""
    from nas.search.supernet import Supernet

    seen, forward = [], Supernet.forward

    def watched(self, images, mixture):
        if not self.training:
            seen.append(mixture.chosen)
        return forward(self, images, mixture)

    monkeypatch.setattr(Supernet, "forward", watched)
    tiny = {"cells": (3,), "channels": (4,), "image_size": 8, "epochs": 1, "images": 128, "batch_size": 32}
    outcome = search(
        method, load_proxy("digits"), default_recipe(method, **tiny, alphas_lr=0.05), seed=0, workdir=tmp_path
    )
    (record,) = outcome.stages[0].trajectory
    assert record.validation_of == "strongest"
    assert 0 <= record.validation_accuracy <= 1
    largest = {cell: torch.tensor(record.alphas[cell]).argmax(1).tolist() for cell in CELLS}
    assert seen
    assert all(chosen == largest for chosen in seen)


# -- training ----------------------------------------------------------------------------------------------------------
