"""The networks and the counter against published counts, a plainly written cell, and their own shapes."""

import pytest
import torch
from torch.nn import functional

from nas import Genotype, build_network, count, zoo
from nas.cell import Cell
from nas.errors import NaswildError
from nas.genotype import CellSpec, Edge
from nas.network import CellBody

# (zoo name, parameters, multiply-adds) of the ImageNet network: 14 cells, 48 channels, 224 pixels, 1,000 classes.
IMAGENET = [
    ("pdarts_cifar10", 4_944_352, 542_819_328),
    ("pcdarts_cifar10", 5_270_560, 571_137_408),
    ("pcdarts_imagenet", 5_342_464, 581_627_328),
    ("darts_v2", 4_718_752, 529_911_552),
]


@pytest.mark.parametrize(("name", "parameters", "macs"), IMAGENET)
def test_imagenet_networks_have_the_published_size(name, parameters, macs):
    counted = count(build_network(name, "imagenet", num_classes=1000), 224)
    assert (counted.parameters, counted.macs) == (parameters, macs)


@pytest.mark.parametrize(
    ("name", "millions"), [("pdarts_cifar10", 557), ("pcdarts_cifar10", 586), ("pcdarts_imagenet", 597)]
)
def test_the_papers_convention_gives_the_printed_multiply_adds(name, millions):
    counted = count(build_network(name, "imagenet", num_classes=1000), 224, convention="paper")
    assert round(counted.macs / 1e6) == millions  # Table 3


def test_cifar_network_has_the_published_parameters_without_its_auxiliary_head():
    assert count(build_network("pdarts_cifar10", auxiliary=True), 32).parameters == 3_433_798


@pytest.mark.parametrize(("size", "macs"), [(320, 1_106_227_200), (512, 2_831_941_632), ((384, 128), 530_989_056)])
def test_backbone_multiply_adds_at_the_sizes_of_detection_and_reid(size, macs):
    assert count(CellBody(Genotype.load("pdarts_cifar10")), size).macs == macs


def test_counting_leaves_every_training_mode_as_it_was():
    network = build_network("darts_v1", channels=4, cells=3)
    network.body.stem0.eval()
    count(network, 32)
    assert network.training and not network.body.stem0.training


def test_counter_rule_written_out():
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=True),  # 8 * 3 * 9 per pixel
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),  # 8 * 9 per pixel of the output
        torch.nn.ConvTranspose2d(8, 4, 2, stride=2),  # 8 * 4 * 4 per pixel of the input
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 16, 5),
    )
    macs = 216 * 16 + 72 * 4 + 128 * 4 + 4 * 16 * 5
    assert count(layers, 4).macs == macs
    assert count(layers, 4, "paper").macs == macs + 8 * 16 * (2 + 1)


def test_cell_equals_its_definition_in_float64():
    spec = CellSpec(
        nodes=(
            (Edge("skip_connect", 0), Edge("sep_conv_3x3", 1)),
            (Edge("max_pool_3x3", 2), Edge("dil_conv_5x5", 0)),
        ),
        concat=(2, 3),
    )
    cell = Cell(spec, (6, 8), 4, reduction=False, halve_first=False).double()
    a, b = torch.randn(2, 6, 8, 8, dtype=torch.float64), torch.randn(2, 8, 8, 8, dtype=torch.float64)

    def norm(x):
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        return (x - mean) / torch.sqrt(var + 1e-5)

    def one_by_one(layers, x):
        return norm(functional.conv2d(x.relu(), layers[1].weight))

    x0, x1 = one_by_one(cell.preprocess0, a), one_by_one(cell.preprocess1, b)
    sep = cell.nodes[0][1]
    y = norm(functional.conv2d(functional.conv2d(x1.relu(), sep[1].weight, padding=1, groups=4), sep[2].weight))
    y = norm(functional.conv2d(functional.conv2d(y.relu(), sep[5].weight, padding=1, groups=4), sep[6].weight))
    node2 = x0 + y
    dil = cell.nodes[1][1]
    z = functional.conv2d(x0.relu(), dil[1].weight, padding=4, dilation=2, groups=4)
    node3 = functional.max_pool2d(node2, 3, 1, 1) + norm(functional.conv2d(z, dil[2].weight))
    torch.testing.assert_close(cell(a, b), torch.cat([node2, node3], 1), rtol=0, atol=1e-10)


def test_drop_path_drops_whole_samples_and_keeps_the_expectation():
    from nas.operations import drop_path

    torch.manual_seed(0)
    out = drop_path(torch.ones(4000, 2, 3, 3), 0.3)
    per_sample = out.flatten(1)
    assert torch.all(per_sample == per_sample[:, :1])
    assert per_sample[:, 0].unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert out.mean().item() == pytest.approx(1.0, abs=0.03)


def test_drop_path_spares_the_identity():
    spec = CellSpec(nodes=((Edge("skip_connect", 0), Edge("skip_connect", 1)),), concat=(2,))
    cell = Cell(spec, (4, 4), 4, reduction=False, halve_first=False)
    x = torch.randn(2, 4, 5, 5)
    expected = cell(x, x)
    cell.drop_path_rate = 0.9
    torch.testing.assert_close(cell(x, x), expected)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (300, 300), (64, 96)])
def test_pyramid_has_the_announced_shapes(size):
    body = CellBody(Genotype.load("nasnet_a"), "imagenet", channels=4, cells=5).eval()
    levels = body(torch.randn(1, 3, *size))
    assert [info["reduction"] for info in body.feature_info] == [4, 8, 16, 32]
    for info, level in zip(body.feature_info, levels, strict=True):
        stride = info["reduction"]
        assert level.shape == (1, info["num_chs"], -(-size[0] // stride), -(-size[1] // stride))


def test_shape_of_the_paper_pyramid():
    info = CellBody(Genotype.load("pdarts_cifar10")).feature_info
    assert [level["num_chs"] for level in info] == [48, 192, 384, 768]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_levels_that_are_not_asked_for_are_not_built(depth):
    genotype = Genotype.load("pdarts_cifar10")
    whole, part = (CellBody(genotype, channels=4, cells=6, depth=d) for d in (None, depth))
    assert [v[:2] for v in part.levels] == [v[:2] for v in whole.levels[: depth + 1]]
    assert sum(p.numel() for p in part.parameters()) < sum(p.numel() for p in whole.parameters())
    part(torch.randn(2, 3, 64, 64))[-1].sum().backward()
    assert all(p.grad is not None for p in part.parameters())


def test_last_stride_one_keeps_the_weights_and_doubles_the_last_level():
    genotype = Genotype.load("darts_v2")
    whole = CellBody(genotype, channels=4, cells=6)
    wide = CellBody(genotype, channels=4, cells=6, last_stride=1)
    wide.load_state_dict(whole.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert whole(x)[-1].shape[2:] == (2, 2)
    assert wide(x)[-1].shape[2:] == wide(x)[-2].shape[2:] == (4, 4)
    assert [v.stride for v in wide.levels] == [4, 8, 16, 16]


def test_auxiliary_head_reads_the_cell_at_two_thirds_and_only_in_training():
    network = build_network("darts_v1", "cifar", channels=4, cells=6, auxiliary=True)
    logits, auxiliary = network(torch.randn(2, 3, 32, 32))
    assert logits.shape == auxiliary.shape == (2, 10)
    assert network.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert network.tap == 4


@pytest.mark.parametrize("side", [8, 7])
def test_auxiliary_pooling_is_the_papers_at_its_sizes(side):
    from nas.network import AuxiliaryHead

    head = AuxiliaryHead(4, 3).eval()
    x = torch.randn(2, 4, side, side)
    pooled = functional.avg_pool2d(x.relu(), 5, stride=side - 5)
    expected = head.classifier(head.widen(head.reduce(pooled)).flatten(1))
    torch.testing.assert_close(head(x), expected)


@pytest.mark.parametrize("name", zoo.names())
def test_every_zoo_cell_trains_a_step_without_unused_parameters(name):
    network = build_network(name, "imagenet", channels=4, cells=3, num_classes=3)
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    missing = [n for n, p in network.named_parameters() if p.grad is None]
    assert not missing


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "resnet"}, "stem must be"),
        ({"channels": 7}, "even number"),
        ({"cells": 2}, "at least 3 cells"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(NaswildError, match=message):
        build_network("darts_v1", **arguments)
