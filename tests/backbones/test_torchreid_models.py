"""torchreid builds our backbones by name and its engine trains them."""

from __future__ import annotations

import pytest
import timm
import torch

from nas import zoo
from nas.errors import NaswildError

pytest.importorskip("torchreid")

from backbones import torchreid_models
from backbones.torchreid_import import load_torchreid

torchreid = load_torchreid()
SMALL = "small_darts_for_the_tests"
torchreid_models.register_global_pool(SMALL, "darts_v2", channels=4, cells=4)


def test_every_zoo_cell_is_registered(capsys):
    torchreid.models.show_avai_models()
    shown = eval(capsys.readouterr().out)
    assert set(zoo.names()) <= set(shown)
    assert "resnet50" in shown


def test_the_papers_other_networks_are_there_beside_torchreids_own():
    model = torchreid.models.build_model("timm:mobilenetv2_100", num_classes=7, pretrained=False, use_gpu=False).eval()
    assert model(torch.zeros(1, 3, 64, 32)).shape == (1, model.feature_dim) == (1, 320)
    theirs = torchreid.models.build_model("resnet50", num_classes=7, pretrained=False, use_gpu=False)
    assert type(theirs).__module__.startswith("torchreid")


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_outputs_are_what_the_engines_expect(loss):
    model = torchreid.models.build_model(SMALL, num_classes=7, loss=loss, pretrained=False, use_gpu=False)
    x = torch.randn(2, 3, 64, 32)
    out = model.train()(x)
    logits, features = (out, None) if loss == "softmax" else out
    assert logits.shape == (2, 7)
    assert features is None or features.shape == (2, model.feature_dim)
    assert model.eval()(x).shape == (2, model.feature_dim) == (2, 64)
    logits.sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_the_paper_size_is_the_default():
    with torch.device("meta"):
        model = torchreid.models.build_model("pdarts_cifar10", num_classes=751, pretrained=False)
    assert model.feature_dim == 768


def test_names_of_torchreid_are_safe():
    with pytest.raises(NaswildError, match="already has a model 'osnet_x1_0'"):
        torchreid_models.register_torchreid("osnet_x1_0", lambda **_: None)
    with pytest.raises(NaswildError, match="loss must be"):
        torchreid.models.build_model(SMALL, num_classes=2, loss="arcface", pretrained=False)


class _Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        image = torch.full((3, 64, 32), float(index % 2)) + 0.1 * torch.randn(3, 64, 32)
        return {"img": image, "pid": index % 2, "camid": 0, "impath": "", "dsetid": 0}


class _Manager:
    """What torchreid's engine reads of a data manager."""

    num_train_pids = 2
    train_loader = torch.utils.data.DataLoader(_Pairs(), batch_size=4)
    test_loader = None


def test_torchreids_softmax_engine_trains_a_backbone():
    torch.manual_seed(0)
    model = torchreid.models.build_model(SMALL, num_classes=2, pretrained=False, use_gpu=False)
    optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=0.003)
    engine = torchreid.engine.ImageSoftmaxEngine(_Manager(), model, optimizer, use_gpu=False)
    model.train()
    losses = [engine.forward_backward(data)["loss"] for _ in range(6) for data in engine.train_loader]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_weights_that_are_nowhere_are_refused():
    name = "pdarts_cifar10"
    with pytest.raises(NaswildError, match=f"no weights come with {name}: build it with pretrained=False"):
        torchreid.models.build_model(name, num_classes=7, use_gpu=False)  # torchreid's default is pretrained=True


def test_pretrained_asks_timm_for_its_weights(monkeypatch):
    asked = []
    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained=False, **o: asked.append(pretrained) or create(name, **o)
    )
    torchreid.models.build_model("timm:mobilenetv2_100", num_classes=7, use_gpu=False)
    assert True in asked
    with pytest.raises(NaswildError, match="timm has no weights for proxylessnas_gpu"):
        torchreid.models.build_model("timm:proxylessnas_gpu", num_classes=7, use_gpu=False)
