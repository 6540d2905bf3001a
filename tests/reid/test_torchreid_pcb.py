"""PCB as torchreid models by name: built, trained and evaluated the way torchreid's engines do it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_sets import TINY

pytest.importorskip("torchreid")

from backbones.torchreid_import import load_torchreid
from nas.errors import NaswildError
from reid.draw import make_reid_sets
from reid.torchreid_models import register_pcb

NAME = "pcb_p3_small_test"
register_pcb(NAME, "darts_v2", 3, channels=4, cells=3)


def build(name: str, **options):
    return load_torchreid().models.build_model(name, num_classes=7, pretrained=False, use_gpu=False, **options)


def test_every_cell_of_the_zoo_and_the_papers_networks_are_there_with_1_3_and_6_parts():
    from backbones.baselines import BASELINES
    from nas import zoo

    names = set(load_torchreid().models.__dict__["__model_factory"])
    wanted = [*zoo.names(), *(f"timm:{baseline.model}" for baseline in BASELINES)]
    assert {f"pcb_p{parts}_{name}" for parts in (1, 3, 6) for name in wanted} <= names


def test_training_gives_a_list_of_logits_and_evaluation_a_descriptor():
    model = build(NAME)
    images = torch.randn(2, 3, 96, 48)
    logits = model.train()(images)
    assert [part.shape for part in logits] == [(2, 7)] * 3
    descriptor = model.eval()(images)
    assert descriptor.shape[0] == 2
    torch.testing.assert_close(descriptor.norm(dim=1), torch.ones(2))


def test_triplet_training_gives_the_descriptor_too():
    logits, descriptor = build(NAME, loss="triplet").train()(torch.randn(2, 3, 96, 48))
    assert len(logits) == 3
    assert descriptor.shape[0] == 2


def test_it_trains_under_torchreids_own_engine(tmp_path, capsys):
    gallery = replace(TINY["market1501"], gallery=120)  # its evaluation fails on galleries of fewer than 50 images
    make_reid_sets(tmp_path, seed=0, sizes={"market1501": gallery})
    torchreid = load_torchreid()
    manager = torchreid.data.ImageDataManager(
        root=str(tmp_path),
        sources="market1501",
        height=96,
        width=48,
        batch_size_train=12,
        batch_size_test=12,
        workers=0,
        use_gpu=False,
        transforms="random_flip",
    )
    model = torchreid.models.build_model(NAME, num_classes=manager.num_train_pids, pretrained=False, use_gpu=False)
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torchreid.optim.build_optimizer(model, optim="sgd", lr=0.05)
    scheduler = torchreid.optim.build_lr_scheduler(optimizer, lr_scheduler="single_step", stepsize=1)
    engine = torchreid.engine.ImageSoftmaxEngine(manager, model, optimizer, scheduler=scheduler, use_gpu=False)
    engine.run(save_dir=str(tmp_path / "log"), max_epoch=1, print_freq=100, test_only=False)
    assert any(not torch.equal(before[name], value) for name, value in model.named_parameters())
    assert "Rank-1" in capsys.readouterr().out


def test_weights_that_are_nowhere_are_refused():
    with pytest.raises(NaswildError, match="no weights come with pcb_p6_pdarts_cifar10"):
        load_torchreid().models.build_model("pcb_p6_pdarts_cifar10", num_classes=7, use_gpu=False)
