"""Weights files: whole round trips, strict loading, and nothing executed from files that mean harm."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from backbones import CellBackbone, load_network, save_weights
from backbones.weights import CellArchitecture, TimmArchitecture, WeightsMetadata, load_into, read_metadata
from nas import build_network
from nas.errors import NaswildError

CLASSES = ("cat", "dog", "bird")


def network(genotype="pdarts_cifar10", **options):
    torch.manual_seed(0)
    shape = {"stem": "imagenet", "channels": 4, "cells": 4, "num_classes": 3, "auxiliary": True}
    return build_network(genotype, **{**shape, **options}).eval()


def described(net, **fields) -> WeightsMetadata:
    return WeightsMetadata(architecture=CellArchitecture.of(net.body), num_classes=3, **fields)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "net.safetensors"
    save_weights(path, network(), described(network(), classes=CLASSES, recipe={"epochs": 3}, score={"top1": 0.97}))
    return path


def rewritten(file: Path, change=dict, header=dict) -> Path:
    """The same file with other tensors or another header."""
    tensors = load_file(file)
    data = json.loads(read_metadata(file).model_dump_json())
    change(tensors)
    header(data)
    save_file(tensors, file, {"naswild": json.dumps(data)})
    return file


def test_round_trip_gives_the_same_network_and_story(file):
    x = torch.randn(2, 3, 40, 40)
    loaded = load_network(file)
    torch.testing.assert_close(loaded(x), network()(x))
    assert loaded.auxiliary is None
    metadata = read_metadata(file)
    assert metadata.classes == CLASSES
    assert metadata.recipe == {"epochs": 3}
    assert metadata.score == {"top1": 0.97}
    assert metadata.naswild


def test_same_network_gives_the_same_bytes(file, tmp_path):
    again = tmp_path / "again.safetensors"
    save_weights(again, network(), read_metadata(file))
    assert again.read_bytes() == file.read_bytes()


def test_report_counts_what_matched_and_names_what_was_left_out(file, caplog):
    backbone = CellBackbone("pdarts_cifar10", 4, 4)
    with caplog.at_level("INFO", "backbones.weights"):
        report = load_into(backbone, file)
    assert report.matched == len(backbone.state_dict())
    assert report.left_out == {"classifier": 2, "auxiliary head": 14}
    assert f"{report.matched} tensors matched, 0 missing, 0 unexpected" in caplog.text


def test_a_failed_write_leaves_the_old_file(file, monkeypatch):
    old = file.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(NaswildError, match="No space left"):
        save_weights(file, network(), described(network()))
    assert file.read_bytes() == old
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_another_architecture_does_not_load(file):
    with pytest.raises(NaswildError, match=r"missing|unexpected|shape"):
        load_into(CellBackbone("darts_v2", 4, 4), file)
    with pytest.raises(NaswildError, match="another shape"):
        load_into(CellBackbone("pdarts_cifar10", 8, 4), file)
    with pytest.raises(NaswildError, match="unexpected"):
        load_into(network(cells=3, auxiliary=False).body, file)


def test_a_refused_file_changes_nothing(file):
    backbone = CellBackbone("pdarts_cifar10", 8, 4)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    with pytest.raises(NaswildError):
        load_into(backbone, file)
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())


def test_saving_checks_that_the_header_describes_the_network(tmp_path):
    with pytest.raises(NaswildError, match="not the network that its header describes"):
        save_weights(tmp_path / "net.safetensors", network("darts_v2"), described(network()))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("body.stem0.0.weight"),
        lambda t: t.update({"body.cells.99.nodes.0.0.1.weight": torch.zeros(1)}),
        lambda t: t.update({"classifier.weight": torch.zeros(4, 64)}),
    ],
)
@pytest.mark.parametrize("load", [load_network, CellBackbone.from_file])
def test_missing_unexplained_and_misshapen_tensors_are_refused(file, change, load):
    with pytest.raises(NaswildError, match="not the network that its header describes: 1 faults"):
        load(rewritten(file, change))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (lambda d: d["architecture"].update(channels=10**9), "channels"),
        (lambda d: d["architecture"].update(channels=4096, cells=60), "not the network"),  # huge, never allocated
        (lambda d: d["architecture"].update(kind="pickle"), "architecture"),
        (lambda d: d["architecture"]["genotype"]["normal"]["nodes"][0].append(["rm -rf", 0]), "normal cell, node 2"),
        (lambda d: d.update(format=99), "upgrade naswild"),
        (lambda d: d.pop("num_classes"), "num_classes"),
        (lambda d: d.update(architecture={"kind": "timm", "name": "hf-hub:evil/model"}), "unknown timm model"),
        (lambda d: d.update(architecture={"kind": "timm", "name": "local-dir:/etc"}), "unknown timm model"),
        (
            lambda d: d.update(
                architecture={"kind": "timm", "name": "test_vit", "kwargs": {"checkpoint_path": "x.pth"}}
            ),
            "may not come from a weights file",
        ),
        (
            lambda d: d.update(
                architecture={"kind": "timm", "name": "test_vit", "kwargs": {"pretrained_cfg": {"file": "x"}}}
            ),
            "may not come from a weights file",
        ),
        (
            lambda d: d.update(architecture={"kind": "timm", "name": "test_vit", "kwargs": {"depth": {"a": 1}}}),
            "must be a number",
        ),
        (
            lambda d: d.update(architecture={"kind": "timm", "name": "test_resnet", "kwargs": {"no_such": 1}}),
            "cannot be built",
        ),
    ],
)
def test_headers_that_lie_are_refused(file, header, message):
    with pytest.raises(NaswildError, match=message):
        load_network(rewritten(file, header=header))


@pytest.mark.parametrize("length", [0, 4, 100, 3000, -1])
def test_truncated_files_are_refused(file, length):
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(NaswildError, match="not a complete safetensors file"):
        load_network(file)


class Bomb:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_pickle_under_our_ending_runs_nothing(form, tmp_path):
    path, trace = tmp_path / "net.safetensors", tmp_path / "ran"
    if form == "torch":
        torch.save({"state_dict": Bomb(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(trace), protocol=2))
    for load in (load_network, CellBackbone.from_file, read_metadata):
        with pytest.raises(NaswildError, match="naswild convert"):
            load(path)
    assert not trace.exists()


def test_a_header_length_beyond_the_file_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(NaswildError, match="not a complete safetensors file"):
        load_network(path)


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(NaswildError, match="does not describe itself"):
        load_network(path)
    with pytest.raises(NaswildError, match="does not exist"):
        load_network(tmp_path / "none.safetensors")
    with pytest.raises(NaswildError, match="not a complete safetensors file"):
        load_network(tmp_path)


def test_timm_models_round_trip(tmp_path):
    path = tmp_path / "net.safetensors"
    architecture = TimmArchitecture(name="test_efficientnet", kwargs={"in_chans": 1, "drop_rate": 0.2})
    model = architecture.build(3).eval()
    grey = {"input_size": (1, 32, 32), "mean": (0.5,), "std": (0.5,)}
    save_weights(path, model, WeightsMetadata(architecture=architecture, num_classes=3, **grey))
    x = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(load_network(path)(x), model(x))


def test_a_cell_of_timms_registry_keeps_the_tensor_names(file):
    model = timm.create_model("pdarts_cifar10", channels=4, cells=4, num_classes=3)
    assert set(model.state_dict()) == {k for k in load_file(file) if not k.startswith("auxiliary.")}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"classes": ("a", "b")}, "2 names for 3 classes"),
        ({"mean": (0.5,)}, "mean has 1 numbers for 3 input channels"),
        ({"std": (0.5,) * 4}, "std has 4 numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "std must be positive"),
    ],
)
def test_a_header_that_does_not_count_is_refused(field, message):
    with pytest.raises(NaswildError, match=message):
        described(network(), **field)
