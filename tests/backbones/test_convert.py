"""Checkpoints of the DARTS family become weights files of ours, or a clear error; nothing of theirs runs."""

from __future__ import annotations

import argparse
import io
import pickle
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from darts_family import official, written

from backbones import CellBackbone, load_network
from backbones.checkpoints import read_checkpoint
from backbones.convert import convert
from nas import build_network
from nas.errors import NaswildError


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", ["pdarts_cifar10", "darts_v2", "pcdarts_cifar10", "nasnet_a", "amoebanet_a"])
def test_conversion_reads_the_shape_off_the_tensors_and_is_proved(name, stem, tmp_path):
    source = official(name, stem=stem, c=6, cells=7, classes=4)
    done = convert(written(tmp_path / "net.pt", source), name, tmp_path / "net.safetensors")
    architecture = done.metadata.architecture
    assert (architecture.stem, architecture.channels, architecture.cells) == (stem, 6, 7)
    assert done.metadata.num_classes == 4
    assert done.difference < 1e-5
    network = load_network(tmp_path / "net.safetensors")
    reference = build_network(name, stem, 6, 7, 4)
    assert set(network.state_dict()) == set(reference.state_dict())
    assert network(torch.randn(2, 3, 64, 64)).isfinite().all()
    assert f"{stem} stem, 7 cells, 6 channels and 4 classes" in str(done)


def test_tensors_land_where_they_belong(tmp_path):
    source = official(stem="imagenet")
    convert(written(tmp_path / "net.pt", source), "pdarts_cifar10", tmp_path / "net.safetensors")
    body = load_network(tmp_path / "net.safetensors").body
    reduction = body.cells[1]
    for theirs, ours in {
        "stem0.3.weight": body.stem0[3].weight,
        "stem1.2.bias": body.stem1[2].bias,
        "cells.0.preprocess0.conv_2.weight": body.cells[0].preprocess0.odd.weight,
        "cells.1.preprocess1.op.1.weight": reduction.preprocess1[1].weight,
        "cells.1._ops.1.op.5.weight": reduction.nodes[0][1][5].weight,  # the second edge of the first node
        "cells.1._ops.7.op.3.running_var": reduction.nodes[3][1][3].running_var,
    }.items():
        assert torch.equal(source[theirs], ours), theirs


@pytest.mark.parametrize("wrap", ["bare", "state_dict", "module", "both"])
def test_wrapped_checkpoints(wrap, tmp_path):
    content = official()
    if wrap in ("module", "both"):
        content = {f"module.{key}": tensor for key, tensor in content.items()}
    if wrap in ("state_dict", "both"):
        arguments = argparse.Namespace(seed=0)
        content = {"epoch": 600, "state_dict": content, "best_acc_top1": np.float64(97.5), "args": arguments}
    done = convert(written(tmp_path / "net.pt", content), "pdarts_cifar10", tmp_path / "net.safetensors")
    assert done.taken == len(official())


def test_auxiliary_heads(tmp_path):
    cifar = convert(written(tmp_path / "a.pt", official()), "pdarts_cifar10", tmp_path / "a.safetensors")
    assert cifar.left_out == {}
    imagenet = official(stem="imagenet")
    done = convert(written(tmp_path / "b.pt", imagenet), "pdarts_cifar10", tmp_path / "b.safetensors")
    (reason,) = done.left_out
    assert "auxiliary head" in reason
    plain = official(auxiliary=False)
    assert convert(written(tmp_path / "c.pt", plain), "pdarts_cifar10", tmp_path / "c.safetensors").left_out == {}


def test_normalisation_follows_the_stem_or_the_caller(tmp_path):
    file = written(tmp_path / "net.pt", official())
    done = convert(file, "pdarts_cifar10", tmp_path / "net.safetensors", classes=("a", "b", "c"), std=(1.0, 1.0, 1.0))
    assert done.metadata.mean[0] == pytest.approx(0.4914, abs=1e-4)
    assert done.metadata.std == (1.0, 1.0, 1.0)
    assert done.metadata.input_size == (3, 32, 32)
    backbone = CellBackbone.from_file(tmp_path / "net.safetensors", out_indices=(0, 2))
    assert backbone.strides == (1, 4)


def test_checkpoints_without_batch_counters(tmp_path):
    old = {k: v for k, v in official().items() if not k.endswith("num_batches_tracked")}
    assert convert(written(tmp_path / "net.pt", old), "pdarts_cifar10", tmp_path / "net.safetensors").difference < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("cells.2._ops.3.op.1.weight"), "needs body.cells.2.nodes.1.1.1.weight"),
        (lambda s: s.update({"cells.0.extra.weight": torch.zeros(1)}), "cells.0.extra.weight has no place"),
        (lambda s: s.update({"classifier.weight": torch.zeros(3, 7)}), "classifier.weight is"),
        (lambda s: s["stem.1.running_var"].fill_(float("nan")), "not finite"),
        (lambda s: [s.pop(k) for k in list(s) if "cells" in k], "not a network of the DARTS family"),
        (lambda s: s.update({"stem.0.weight": "text"}), "a str where a tensor"),
    ],
)
def test_files_of_other_networks_are_refused(change, message, tmp_path):
    source = official()
    change(source)
    with pytest.raises(NaswildError, match=message):
        convert(written(tmp_path / "net.pt", source), "pdarts_cifar10", tmp_path / "net.safetensors")
    assert not (tmp_path / "net.safetensors").exists()


def test_another_genotype_is_told(tmp_path):
    with pytest.raises(NaswildError, match="does not fit the genotype given"):
        convert(written(tmp_path / "net.pt", official()), "darts_v2", tmp_path / "net.safetensors")


class Bomb:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_malicious_files_run_nothing(form, tmp_path):
    path, trace = tmp_path / "net.pt", tmp_path / "ran"
    content = {"state_dict": official(), "extra": Bomb(trace)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(NaswildError, match=r"refused and nothing of it was run: it names ") as refusal:
        convert(path, "pdarts_cifar10", tmp_path / "net.safetensors")
    assert not trace.exists()
    assert "weights_only" not in str(refusal.value)  # PyTorch's advice to load it all the same


def test_pickles_of_newer_protocols_are_refused_in_one_sentence(tmp_path, recwarn):
    path = tmp_path / "net.pt"
    path.write_bytes(pickle.dumps({"state_dict": Bomb(tmp_path / "ran")}, protocol=4))
    with pytest.raises(NaswildError, match="refused"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()
    assert not recwarn.list


@pytest.mark.parametrize("length", [0, 3, 1000, 30000])
def test_truncated_files_are_refused(length, tmp_path):
    buffer = io.BytesIO()
    torch.save(official(), buffer)
    path = tmp_path / "net.pt"
    path.write_bytes(buffer.getvalue()[:length])
    with pytest.raises(NaswildError, match=r"net\.pt"):
        read_checkpoint(path)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_give_a_clear_error_or_a_whole_table(seed, tmp_path):
    random = np.random.default_rng(seed)
    buffer = io.BytesIO()
    torch.save(dict(list(official().items())[:8]), buffer, _use_new_zipfile_serialization=bool(seed % 2))
    data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
    places = random.integers(0, min(len(data), 600), 4)
    data[places] = random.integers(0, 256, 4)
    path = tmp_path / "net.pt"
    path.write_bytes(data.tobytes())
    with suppress(NaswildError):  # anything else would be a traceback for the user
        assert all(isinstance(v, torch.Tensor) for v in read_checkpoint(path).tensors.values())


def test_missing_file(tmp_path):
    with pytest.raises(NaswildError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pt")


def test_reading_a_checkpoint_leaves_what_others_allowed(tmp_path):
    torch.serialization.add_safe_globals([np.dtype])
    torch.save({"state_dict": official()}, tmp_path / "a.pt")
    read_checkpoint(tmp_path / "a.pt")
    assert np.dtype in torch.serialization.get_safe_globals()
