"""The paper's other networks: each is a backbone by name, at the strides and sizes that the tasks need."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from backbones import build_backbone, save_weights
from backbones.baselines import BASELINES
from backbones.weights import TimmArchitecture, WeightsMetadata
from nas import count

NAMES = [baseline.model for baseline in BASELINES]
TORCHVISION = {"shufflenet_v2_x2_0": {}, "googlenet": {"aux_logits": False, "init_weights": False}}
# Parameters (M) and multiply-adds (M) at 224 as Tables 3 and 5 of the paper print them; None: printed for another size.
PRINTED = {
    "mobilenetv1_100": (4.2, 569),
    "proxylessnas_gpu": (7.1, 465),
    "googlenet": (6.6, None),
    "mnasnet_100": (4.4, None),
}


@pytest.mark.parametrize("name", NAMES)
def test_strides_and_channels_are_what_comes_out(name):
    with torch.device("meta"):  # the shapes of large networks too, without their arithmetic
        backbone = build_backbone(name)
        levels = backbone(torch.zeros(1, 3, 320, 256))
        person = build_backbone(name, last_stride=1, out_indices=(-1,))
        (stripes,) = person(torch.zeros(1, 3, 384, 128))
    assert backbone.strides == (4, 8, 16, 32)
    for level, channels, stride in zip(levels, backbone.channels, backbone.strides, strict=True):
        assert level.shape == (1, channels, 320 // stride, 256 // stride)
    assert stripes.shape == (1, person.channels[0], 24, 8)


@pytest.mark.parametrize(("name", "printed"), PRINTED.items())
def test_size_is_the_paper_s(name, printed):
    with torch.device("meta"):
        found = count(timm.create_model(name), 224)
    parameters, macs = printed
    assert round(found.parameters / 1e6, 1) == parameters
    assert macs is None or round(found.macs / 1e6) == macs


@pytest.mark.parametrize("name", ["proxylessnas_gpu", *TORCHVISION])
def test_those_that_timm_lacks_are_classifiers_that_learn(name):
    model = timm.create_model(name, num_classes=3, in_chans=1)
    model.train()(torch.randn(2, 1, 64, 64)).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    cfg, state = model.default_cfg, model.state_dict()
    assert cfg["classifier"] + ".weight" in state
    assert state[cfg["first_conv"] + ".weight"].shape[1] == 1
    assert model.get_classifier().out_features == 3
    model.reset_classifier(0)
    assert model(torch.randn(2, 1, 64, 64)).shape == (2, model.num_features)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), TORCHVISION.items())
def test_torchvision_s_weights_fit_and_give_torchvision_s_outputs(name, options, tmp_path):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(**options).eval()
    file = tmp_path / "net.pth"
    torch.save(theirs.state_dict() | ({"aux1.fc1.weight": torch.zeros(1)} if name == "googlenet" else {}), file)
    ours = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(file)}).eval()
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(x), theirs(x))
    levels = build_backbone(name, out_indices=(3,), pretrained=True, pretrained_cfg_overlay={"file": str(file)}).eval()
    wanted = ours.conv5(levels(x)[0]) if name == "shufflenet_v2_x2_0" else levels(x)[0]
    torch.testing.assert_close(wanted, ours.forward_features(x))


@torch.no_grad()
@pytest.mark.parametrize("name", ["proxylessnas_gpu", *TORCHVISION])
def test_their_weights_files_feed_the_levels(name, tmp_path):
    architecture = TimmArchitecture(name=name)
    model = architecture.build(4).eval()
    path = tmp_path / "net.safetensors"
    save_weights(path, model, WeightsMetadata(architecture=architecture, num_classes=4))
    backbone = build_backbone(path, out_indices=(1, 3))
    assert backbone.load_report.matched == len(backbone.state_dict())
    first = next(value for key, value in model.state_dict().items() if value.ndim == 4)
    assert torch.equal(next(value for value in backbone.state_dict().values() if value.ndim == 4), first)


def test_they_go_into_mmdet_configs_by_name(tmp_path):
    pytest.importorskip("mmdet")
    from backbones.swap import swap

    done = swap("retinanet_r50_fpn_1x_coco", "shufflenet_v2_x2_0", tmp_path / "new.py")
    assert any("[256, 512, 1024, 2048] -> [24, 244, 488, 976]" in change for change in done.changes)
