"""CellBackbone: levels, sizes, frozen parts, checkpointing, and that nothing is built in vain."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from backbones import CellBackbone
from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
from nas import build_network, zoo
from nas.errors import NaswildError
from nas.genotype import DISCRETE_OPERATIONS

SIZES = [(300, 300), (320, 320), (321, 321), (512, 512), (256, 128), (384, 128), (33, 47)]


def small(genotype="pdarts_cifar10", out_indices=(0, 1, 2, 3), **options) -> CellBackbone:
    torch.manual_seed(0)
    return CellBackbone(genotype, channels=4, cells=7, out_indices=out_indices, **options)


def image(height=64, width=64, batch=2) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def without_gradient(backbone: nn.Module, x: torch.Tensor) -> list[str]:
    sum(level.square().mean() for level in backbone(x)).backward()
    return [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]


def test_paper_size_has_the_paper_channels():
    with torch.device("meta"):
        backbone = CellBackbone("pdarts_cifar10")
    assert backbone.channels == (48, 192, 384, 768)
    assert backbone.strides == (4, 8, 16, 32)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_input_size(height, width):
    backbone = small().eval()
    with torch.no_grad():
        levels = backbone(image(height, width, batch=1))
    for level, channels, stride in zip(levels, backbone.channels, backbone.strides):
        assert level.shape == (1, channels, -(-height // stride), -(-width // stride))


@pytest.mark.parametrize("name", zoo.names())
def test_every_parameter_of_every_zoo_cell_gets_a_gradient_without_the_last_level(name):
    backbone = CellBackbone(name, channels=4, cells=4, out_indices=(1, 2))
    assert without_gradient(backbone, image(33, 33)) == []


@pytest.mark.parametrize("out_indices", [(0,), (1,), (2,), (3,), (0, 3), (3, 0), (-1,), (1, -1)])
def test_out_indices_choose_levels_and_build_no_more(out_indices):
    every, some = small(last_stride=1), small(out_indices=out_indices, last_stride=1)
    some.load_state_dict({k: v for k, v in every.state_dict().items() if k in some.state_dict()})
    x = image(32, 32)
    wanted = [every.eval()(x)[index] for index in out_indices]
    torch.testing.assert_close(some.eval()(x), wanted)
    assert some.channels == tuple(level.shape[1] for level in wanted)
    assert some.strides == tuple(32 // level.shape[2] for level in wanted)
    assert without_gradient(some.train(), x) == []


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_last_stride_one_keeps_the_weights_and_the_resolution(stem):
    normal, dense = small(stem=stem, out_indices=(-2, -1)), small(stem=stem, out_indices=(-2, -1), last_stride=1)
    assert {k: v.shape for k, v in normal.state_dict().items()} == {k: v.shape for k, v in dense.state_dict().items()}
    dense.load_state_dict(normal.state_dict())
    x = image(65, 33)
    before, last = dense.eval()(x)
    assert before.shape[2:] == last.shape[2:]
    assert dense.strides[0] == dense.strides[1] == normal.strides[1] // 2
    torch.testing.assert_close(before, normal.eval()(x)[0])


@pytest.mark.parametrize("operation", DISCRETE_OPERATIONS)
def test_last_stride_one_takes_the_stride_of_every_operation(operation):
    cells = zoo.genotype("pdarts_cifar10").to_dict()
    for node in cells["reduce"]["nodes"]:
        node[0][0] = operation
    before, last = small(cells, out_indices=(2, 3), last_stride=1).eval()(image(33, 47))
    assert before.shape[2:] == last.shape[2:]


def test_last_stride_one_for_the_cell_with_strided_none():
    backbone = small("snas_aggressive", out_indices=(2, 3), last_stride=1)
    before, last = backbone.eval()(image())
    assert before.shape[2:] == last.shape[2:] == (4, 4)


def test_cifar_stem_has_three_levels():
    backbone = small(stem="cifar", out_indices=(0, 1, 2))
    assert backbone.strides == (1, 2, 4)
    assert [level.shape[2] for level in backbone(image(31, 31))] == [31, 16, 8]


@pytest.mark.parametrize("frozen", [-1, 0, 1, 2, 3])
def test_frozen_stages_neither_learn_nor_record(frozen):
    backbone = small(frozen_stages=frozen).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad] or [torch.zeros(1)], 0.1)
    loss = sum(level.square().mean() for level in backbone(image()))
    if frozen < 3:
        loss.backward()
    optimizer.step()
    ends = [int(v.module.split(".")[1]) if "." in v.module else -1 for v in backbone.body.levels]
    for name, tensor in backbone.state_dict().items():
        part = -1 if ".stem" in name else int(name.split(".")[2])
        still = frozen >= 0 and part <= ends[frozen]
        learns = not name.endswith("num_batches_tracked") or not still
        assert torch.equal(tensor, before[name]) == (still if learns else True), name


def test_norm_eval_keeps_the_running_statistics_and_lets_weights_learn():
    backbone = small(norm_eval=True).train()
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    assert without_gradient(backbone, image()) == []
    assert all(torch.equal(norm.running_mean, b) for norm, b in zip(norms, before))
    assert backbone.body.cells[0].training


def test_sync_norm_replaces_every_batch_norm_and_loads_the_same_weights():
    plain, synced = small().eval(), small(norm="SyncBN").eval()
    norms = [m for m in synced.modules() if isinstance(m, _BatchNorm)]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    synced.load_state_dict(plain.state_dict())
    torch.testing.assert_close(synced(image()), plain(image()))


@pytest.mark.parametrize("options", [{}, {"drop_path": 0.5}, {"frozen_stages": 1}, {"norm_eval": True}])
def test_checkpointing_changes_nothing_but_memory(options):
    plain, saving = small(**options).train(), small(checkpointing=True, **options).train()
    for backbone in (plain, saving):
        torch.manual_seed(3)
        assert without_gradient(backbone, image()) == []
    for a, b in zip(plain.parameters(), saving.parameters()):
        if a.requires_grad:
            torch.testing.assert_close(a.grad, b.grad)
    for (name, a), b in zip(plain.named_buffers(), saving.buffers()):
        assert torch.equal(a, b), name


def test_checkpointing_keeps_fewer_activations():
    def kept(checkpointing: bool) -> int:
        sizes = []
        backbone = small(checkpointing=checkpointing).train()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            backbone(image())
        return sum(sizes)

    assert kept(True) < kept(False) / 3


def test_drop_path_acts_in_training_only():
    backbone = small(drop_path=0.6)
    x = image()
    assert not torch.equal(backbone.train()(x)[3], backbone(x)[3])
    assert torch.equal(backbone.eval()(x)[3], backbone(x)[3])


def test_from_file_takes_everything_from_the_file(tmp_path):
    network = build_network("darts_v2", "imagenet", 4, 7, num_classes=3, auxiliary=True).eval()
    path = tmp_path / "net.safetensors"
    metadata = WeightsMetadata(
        architecture=CellArchitecture.of(network.body), num_classes=3, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
    )
    save_weights(path, network, metadata)
    backbone = CellBackbone.from_file(path, out_indices=(1, 3)).eval()
    levels = network.body(image())
    torch.testing.assert_close(backbone(image()), [levels[1], levels[3]])
    assert (backbone.mean, backbone.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert set(backbone.load_report.left_out) == {"classifier", "auxiliary head"}
    first = CellBackbone.from_file(path, out_indices=(0,))
    assert "after the last level" in first.load_report.left_out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_indices": (4,)}, "no level 4"),
        ({"out_indices": ()}, "empty"),
        ({"out_indices": (3, -1)}, "twice"),
        ({"frozen_stages": 4}, "frozen_stages"),
        ({"norm": "LN"}, "norm must be"),
        ({"last_stride": 3}, "last_stride"),
        ({"genotype": "pdarts_cifar01"}, "did you mean 'pdarts_cifar10'"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(NaswildError, match=message):
        small(**options)
