"""TimmBackbone: the same pyramid from convolutional networks, mobile networks and transformers that timm has."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from backbones import TimmBackbone
from backbones.sync_norm import SyncBatchNormAct
from backbones.weights import TimmArchitecture, WeightsMetadata, save_weights
from nas.errors import NaswildError, UnknownName

# One of each way in which timm gives features: list, hooks, getter, channels last, rewritten names, an odd first level.
KINDS = ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "mobilenetv2_035", "densenet121", "swin_tiny"]
NAMES = {
    "swin_tiny": ("swin_tiny_patch4_window7_224", {"embed_dim": 12, "depths": (1, 1, 1, 1), "num_heads": (1,) * 4})
}


def small(kind: str = "test_resnet", **options) -> TimmBackbone:
    torch.manual_seed(0)
    name, extra = NAMES.get(kind, (kind, {}))
    return TimmBackbone(name, **{**extra, **options})


def image(height=96, width=64, channels=3) -> torch.Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_four_levels_with_their_strides_and_true_channels(kind):
    backbone = small(kind)
    assert backbone.strides == (4, 8, 16, 32)
    levels = backbone.eval()(image())
    for level, channels, stride in zip(levels, backbone.channels, backbone.strides):
        assert level.shape == (2, channels, 96 // stride, 64 // stride)


@pytest.mark.parametrize("kind", ["test_resnet", "test_efficientnet", "test_vit", "mobilenetv2_035"])
def test_no_parameter_that_learns_goes_without_gradient(kind):
    backbone = small(kind, out_indices=(0, 1)).train()
    sum(level.square().mean() for level in backbone(image())).backward()
    assert [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None] == []


def test_a_transformer_takes_sides_that_its_patches_do_not_divide():
    backbone = TimmBackbone("test_vit").eval()
    levels = backbone(torch.zeros(1, 3, 300, 167))
    for level, stride in zip(levels, backbone.strides):
        assert level.shape[2:] == (-(-300 // stride), -(-167 // stride))


def test_levels_come_in_the_order_asked_for():
    forward, backward = small(out_indices=(1, 3)).eval(), small(out_indices=(-1, 1)).eval()
    backward.load_state_dict(forward.state_dict())
    torch.testing.assert_close(backward(image()), forward(image())[::-1])
    assert backward.channels == forward.channels[::-1]
    assert backward.strides == (32, 8)


@pytest.mark.parametrize("kind", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "densenet121"])
def test_last_stride_one_keeps_resolution_and_weights(kind):
    normal, dense = small(kind, out_indices=(2, 3)), small(kind, out_indices=(2, 3), last_stride=1)
    assert {k: v.shape for k, v in normal.state_dict().items()} == {k: v.shape for k, v in dense.state_dict().items()}
    before, last = dense.eval()(image())
    assert before.shape[2:] == last.shape[2:] == (6, 4)
    assert dense.strides == (16, 16)
    dense.load_state_dict(normal.state_dict())
    torch.testing.assert_close(dense(image())[0], normal.eval()(image())[0])


def test_last_stride_that_cannot_be_taken_is_an_error():
    with pytest.raises(NaswildError, match="use last_stride=2"):
        small("swin_tiny", last_stride=1)


@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_stages_neither_learn_nor_record(frozen):
    backbone = small(frozen_stages=frozen, out_indices=(2, 3)).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    sum(level.square().mean() for level in backbone(image())).backward()
    parameters = dict(backbone.named_parameters())
    stays = {name for name, p in parameters.items() if p.grad is None}
    layers = {0: ("layer2", "layer3", "layer4"), 2: ("layer4",)}[frozen]
    assert stays == {name for name in parameters if not any(layer in name for layer in layers)}
    for name, tensor in backbone.state_dict().items():
        if "running_mean" in name:
            assert torch.equal(tensor, before[name]) != any(layer in name for layer in layers), name


def test_norm_eval_and_sync_norm():
    backbone = small("test_efficientnet", norm_eval=True, norm="SyncBN").train()
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm | SyncBatchNormAct) and not norm.training for norm in norms)
    plain = small("test_efficientnet").eval()
    backbone.load_state_dict(plain.state_dict())
    torch.testing.assert_close(backbone.eval()(image()), plain(image()))  # the activation inside the norm survives


def test_building_leaves_the_running_statistics_alone():
    for name, tensor in small(last_stride=1).state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert tensor == 0


def test_in_channels_and_model_options():
    backbone = small(in_channels=5, drop_path=0.3, block_args={"attn_layer": "se"})
    assert backbone(image(channels=5))[0].shape[0] == 2
    assert any("se" in name for name, _ in backbone.named_modules())


@pytest.mark.parametrize("kind", ["test_resnet", "test_efficientnet", "test_vit", "densenet121"])
def test_weights_file_of_a_timm_model_feeds_the_features(kind, tmp_path):
    architecture = TimmArchitecture(name=kind, kwargs={"drop_rate": 0.1})
    model = architecture.build(4).eval()
    path = tmp_path / "net.safetensors"
    save_weights(path, model, WeightsMetadata(architecture=architecture, num_classes=4, std=(0.5, 0.5, 0.5)))
    backbone = TimmBackbone.from_file(path, out_indices=(2, 3)).eval()
    own = {k: v for k, v in model.state_dict().items() if v.ndim == 4}
    loaded = [v for v in backbone.state_dict().values() if v.ndim == 4]
    assert loaded
    assert all(any(v.shape == w.shape and torch.equal(v, w) for w in own.values()) for v in loaded)
    assert backbone.std == (0.5, 0.5, 0.5)
    assert backbone.load_report.matched == len(backbone.state_dict())
    x = torch.randn(1, 3, 160, 160)
    if kind in ("test_resnet", "densenet121"):
        torch.testing.assert_close(backbone(x)[-1], model.forward_features(x))


def test_unknown_names_and_levels_are_named():
    with pytest.raises(UnknownName, match="did you mean 'resnet50"):
        TimmBackbone("resnet5O")
    with pytest.raises(NaswildError, match="no level 5"):
        small(out_indices=(5,))
    with pytest.raises(NaswildError, match="frozen_stages"):
        small(frozen_stages=9)


def test_prefix_and_mean_of_the_model():
    backbone = TimmBackbone("timm:test_resnet")
    assert backbone.mean == tuple(timm.get_pretrained_cfg("test_resnet").mean)
