"""Checkpoints of every layout that people have, and the operations and numbers that a conversion must refuse."""

from __future__ import annotations

import pytest
import torch
from darts_family import official, written
from safetensors.torch import save_file

from backbones import CellBackbone, load_network
from backbones.checkpoints import read_checkpoint
from backbones.convert import convert
from nas import zoo
from nas.errors import NaswildError

CELL = "pdarts_cifar10"


def converted(content, tmp_path, genotype=CELL, **options):
    file = written(tmp_path / "net.pt", content)
    return convert(file, genotype, tmp_path / "net.safetensors", **options)


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: tensor for key, tensor in official().items()}


def averaged() -> dict[str, torch.Tensor]:
    return {key: tensor + 1 if key == "classifier.bias" else tensor for key, tensor in official().items()}


LAYOUTS = {
    "module.module.": lambda: prefixed("module.module."),
    "_orig_mod.": lambda: prefixed("_orig_mod."),
    "compiled and distributed": lambda: {"state_dict": prefixed("module._orig_mod.")},
    "lightning": lambda: {"epoch": 3, "state_dict": prefixed("model."), "optimizer_states": [{"state": {0: {}}}]},
    "compiled cells": lambda: {k.replace("cells.0.", "cells.0._orig_mod."): v for k, v in official().items()},
    "model_state": lambda: {"model_state": official(), "optimizer": {"state": {}, "param_groups": []}},
    "net": lambda: {"net": official(), "acc": 97.5, "epoch": 1},
    "ema only": lambda: {"ema": {"module": official(), "decay": 0.999}},
    "swa": lambda: {"n_averaged": torch.tensor(7), **prefixed("module.")},
    "three tables deep": lambda: {"checkpoint": {"model": {"weights": official()}}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_that_people_have(layout, tmp_path):
    done = converted(LAYOUTS[layout](), tmp_path)
    assert done.taken == len(official())
    assert torch.equal(load_network(done.path).classifier.weight, official()["classifier.weight"])


def test_counters_of_thop_are_left_out_and_counted(tmp_path):
    source = official()
    source |= {
        f"{name}total_{what}": torch.zeros(1)
        for name in ("", "stem.0.", "cells.0._ops.1.")
        for what in ("ops", "params")
    }
    done = converted(source, tmp_path)
    assert done.left_out == {"counters of a profiler": 6}


def test_a_plain_safetensors_file(tmp_path):
    save_file(official(), tmp_path / "plain.safetensors")
    done = convert(tmp_path / "plain.safetensors", CELL, tmp_path / "net.safetensors")
    assert done.taken == len(official())
    with pytest.raises(NaswildError, match="is a weights file already"):
        convert(done.path, CELL, tmp_path / "again.safetensors")
    with pytest.raises(NaswildError, match="does not exist"):
        read_checkpoint(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "plain.safetensors").read_bytes()[:999])
    with pytest.raises(NaswildError, match="not a complete safetensors file"):
        read_checkpoint(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema_model.module", "EMA"])
def test_of_two_networks_the_averaged_one_is_taken_and_said(key, tmp_path):
    done = converted({"state_dict": official(), key: averaged()}, tmp_path)
    assert torch.equal(load_network(done.path).classifier.bias, averaged()["classifier.bias"])
    assert f"read from {key!r}" in str(done)
    converted({"state_dict": official(), key: averaged()}, tmp_path, table="state_dict")
    assert torch.equal(load_network(done.path).classifier.bias, official()["classifier.bias"])


def test_networks_that_only_the_caller_can_tell_apart(tmp_path):
    both = {"best": official(), "schema": averaged()}
    with pytest.raises(NaswildError, match=r"several networks \('best', 'schema'\)"):
        converted(both, tmp_path)
    assert converted(both, tmp_path, table="best").table == "best"
    with pytest.raises(NaswildError, match="did you mean 'best'"):
        converted(both, tmp_path, table="bets")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(kind, tmp_path):
    source = {key: tensor.to(kind) if tensor.is_floating_point() else tensor for key, tensor in official().items()}
    done = converted(source, tmp_path)
    assert done.difference < 1e-5
    weight = load_network(done.path).classifier.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, source["classifier.weight"].float())


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_genotypes_with_none(stem, tmp_path):
    done = converted(official("snas_aggressive", stem=stem, cells=7), tmp_path, "snas_aggressive")
    assert done.difference < 1e-5
    dense = CellBackbone.from_file(done.path, out_indices=(-2, -1), last_stride=1).eval()
    before, last = dense(torch.zeros(1, 3, 64, 64))
    assert before.shape[2:] == last.shape[2:]


@pytest.mark.parametrize("operation", ["conv_3x1_1x3", "conv_3x3", "max_pool_5x5", "sep_conv_3x3_1"])
def test_operations_that_the_family_does_not_have_are_refused(operation, tmp_path):
    cells = zoo.genotype(CELL).to_dict()
    cells["normal"]["nodes"][0][0][0] = operation
    with pytest.raises(NaswildError, match=f"unknown operation of the DARTS family '{operation}'"):
        converted(official(), tmp_path, cells)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("a", "b")}, "2 names for 3 classes"),
        ({"mean": (0.5,)}, "mean has 1 numbers for 3 input channels"),
        ({"std": (0.1, 0.2)}, "std has 2 numbers for 3 input channels"),
    ],
)
def test_wrong_numbers_of_names_and_statistics_are_refused(options, message, tmp_path):
    with pytest.raises(NaswildError, match=message):
        converted(official(), tmp_path, **options)
    assert not (tmp_path / "net.safetensors").exists()


def test_what_the_proof_does_not_prove(tmp_path):
    """An edge that reads another state, and a pooling of another kind, fit the same tensors."""
    rewired = zoo.genotype(CELL).to_dict()
    node = rewired["normal"]["nodes"][2]
    node[1][1] = 2 if node[1][1] != 2 else 1
    assert converted(official(), tmp_path, rewired).difference < 1e-5
    pooled = zoo.genotype("darts_v2").to_dict()
    for edge in (edge for node in pooled["reduce"]["nodes"] for edge in node if edge[0] == "max_pool_3x3"):
        edge[0] = "avg_pool_3x3"
    assert converted(official("darts_v2"), tmp_path, pooled).difference < 1e-5


# The cells that FairDARTS' authors print as (operation, node, input), nodes 2 to 5. Normal cells of a, c and g lack a
# node; the edge of c and of g that reads the missing one is dropped when the network runs.
FAIR = {
    "fairdarts_a": (
        "sep_conv_3x3 2 0, sep_conv_5x5 2 1, max_pool_3x3 4 0, sep_conv_3x3 5 0",
        "max_pool_3x3 2 0, avg_pool_3x3 2 1, avg_pool_3x3 3 0, dil_conv_5x5 3 1, avg_pool_3x3 4 0, sep_conv_5x5 4 1, "
        "skip_connect 5 0, skip_connect 5 1",
    ),
    "fairdarts_c": (
        "max_pool_3x3 2 0, sep_conv_5x5 2 1, dil_conv_3x3 4 0, dil_conv_5x5 4 2, skip_connect 5 3, sep_conv_3x3 5 0",
        "dil_conv_3x3 2 1, dil_conv_5x5 2 0, dil_conv_3x3 3 0, sep_conv_3x3 3 1, sep_conv_5x5 4 0, sep_conv_5x5 4 3, "
        "sep_conv_5x5 5 0, skip_connect 5 1",
    ),
    "fairdarts_g": (
        "sep_conv_3x3 2 0, sep_conv_3x3 2 1, skip_connect 4 3, sep_conv_5x5 4 1, dil_conv_3x3 5 0, sep_conv_3x3 5 1",
        "avg_pool_3x3 2 1, skip_connect 2 0, skip_connect 3 2, max_pool_3x3 3 1, sep_conv_5x5 4 3, max_pool_3x3 4 0, "
        "dil_conv_3x3 5 1, dil_conv_3x3 5 4",
    ),
}


def fair_state(name: str) -> dict[str, torch.Tensor]:
    """A state dict in FairDARTS' layout, renamed from the flat layout edge by edge, with the authors' numbers."""
    flat, renamed = official(name, cells=7), {}
    genotype = zoo.genotype(name)
    for key, tensor in flat.items():
        parts = key.split(".")
        if parts[0] != "cells" or parts[2] != "_ops":
            renamed[key] = tensor
            continue
        reduction = int(parts[1]) in (2, 4)
        spec = genotype.reduce if reduction else genotype.normal
        edge = [edge for node in spec.nodes for edge in node][int(parts[3])]
        node = next(i for i, end in enumerate(_ends(spec), start=2) if int(parts[3]) < end)
        operations = [line.split() for line in FAIR[name][reduction].split(", ")]
        kept = sorted({int(to) for _, to, start in operations if start in ("0", "1") or _made(start, operations)})
        numbers = {old: new for new, old in enumerate(kept, start=2)} | {0: 0, 1: 1}
        ((to, start),) = [
            (to, start)
            for kind, to, start in operations
            if kind == edge.operation and numbers.get(int(to)) == node and numbers.get(int(start)) == edge.input
        ]
        renamed[".".join([*parts[:3], to, start, "0", *parts[4:]])] = tensor
    return renamed


def _ends(spec) -> list[int]:
    return [sum(len(node) for node in spec.nodes[: i + 1]) for i in range(len(spec.nodes))]


def _made(node: str, operations: list[list[str]]) -> bool:
    return any(to == node for _, to, _ in operations)


@pytest.mark.parametrize("name", FAIR)
def test_the_layout_of_fairdarts(name, tmp_path):
    state = fair_state(name)
    assert any(key.startswith("cells.0._ops.2.") and key.split(".")[5].isdigit() for key in state)
    done = converted(state, tmp_path, name)
    flat = convert(written(tmp_path / "flat.pt", official(name, cells=7)), name, tmp_path / "flat.safetensors")
    assert done.taken == flat.taken == len(state)
    ours, theirs = (load_network(file.path).state_dict() for file in (done, flat))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_another_cell_in_the_layout_of_fairdarts_is_refused(tmp_path):
    with pytest.raises(NaswildError, match="does not fit the genotype given"):
        converted(fair_state("fairdarts_a"), tmp_path, "fairdarts_c")
