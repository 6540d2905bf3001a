"""Every kind of source in every place that takes one: understood alike, or refused with the same sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backbones import TimmBackbone, build_backbone, export
from backbones.metadata import CellArchitecture, TimmArchitecture, WeightsMetadata
from backbones.source import BackboneSource, parse_source
from backbones.weights import save_weights
from benchmarks.cli import single
from benchmarks.run import Options, plan_suite
from benchmarks.suite import Suite
from benchmarks.yamlfile import Document, validate
from nas import build_network, zoo
from nas.errors import NaswildError, UnknownName
from nas.genotype import Genotype
from nas.train import new_network
from nas.train_recipe import RetrainRecipe

GENOTYPE = zoo.genotype("darts_v2")
# For each kind of source the network that it must give: the cells, or timm's name.
SOURCES: dict[str, Any] = {
    "zoo name": GENOTYPE,
    "genotype text": GENOTYPE,
    "genotype JSON": GENOTYPE,
    "genotype file": GENOTYPE,
    "weights of cells": GENOTYPE,
    "weights of timm": "test_resnet",
    "timm:NAME": "resnet10t",
    "name of timm": "resnet10t",
    "baseline of ours": "googlenet",
}
SMALL = {"channels": 4, "cells": 3}


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    GENOTYPE.save(folder / "mine.json")
    cells = build_network(GENOTYPE, "imagenet", 4, 3, num_classes=2)
    timm = TimmArchitecture(name="test_resnet")
    for name, network, architecture in (
        ("cells", cells, CellArchitecture.of(cells.body)),
        ("timm", timm.build(2), timm),
    ):
        path = folder / f"{name}.safetensors"
        save_weights(path, network, WeightsMetadata(architecture=architecture, num_classes=2))
    return {
        "zoo name": "darts_v2",
        "genotype text": GENOTYPE.to_text(),
        "genotype JSON": BackboneSource("genotype", GENOTYPE).text,
        "genotype file": str(folder / "mine.json"),
        "weights of cells": str(folder / "cells.safetensors"),
        "weights of timm": str(folder / "timm.safetensors"),
        "timm:NAME": "timm:resnet10t",
        "name of timm": "resnet10t",
        "baseline of ours": "googlenet",
    }


def same(found: Any, wanted: Any) -> bool:
    return found == wanted if isinstance(wanted, str) else Genotype.load(found) == wanted


def plan(entry: Any, task: dict[str, Any], protocols: dict[str, str], tmp_path: Path) -> Any:
    content = {"name": "it", "backbones": [entry], "tasks": [task], "protocols": protocols, "seeds": [0]}
    if "made" in task:
        content["data"] = {task["data"]: {"made": task.pop("made")}}
    document = Document(tmp_path / "it.yaml", content, {})
    return plan_suite(validate(Suite, document), document, Options(), tmp_path / "run")


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_means_the_same_backbone_for_libraries(kind, texts):
    source, wanted = texts[kind], SOURCES[kind]
    found = build_backbone(source, **SMALL)
    assert same(found.name if isinstance(found, TimmBackbone) else found.body.genotype, wanted)
    classifier = export._classifier(parse_source(source), 4, 3, 2)
    assert (type(classifier).__name__ == "CellNetwork") == (not isinstance(wanted, str))
    again = parse_source(parse_source(source).text)
    assert again == parse_source(again)
    assert "\n" not in again.name


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_means_the_same_backbone_for_detectors(kind, texts):
    pytest.importorskip("mmdet")
    from backbones.mmdet_config import backbone_config
    from detection.backbone import backbone_config as with_habits
    from detection.recipe import DetectRecipe

    source, wanted = texts[kind], SOURCES[kind]
    for config in (backbone_config(source), with_habits(source, DetectRecipe(), pretrained=False)):
        if kind.startswith("weights") and "weights" in config:
            assert config["weights"] == source
        else:
            assert same(config.get("genotype") or config.get("name"), wanted)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_means_the_same_backbone_for_retrain_and_for_suites(kind, texts, tmp_path):
    source, wanted = texts[kind], SOURCES[kind]
    retrained = plan(
        single._untrained(source), {"task": "classify", "data": "digits"}, {"retrain": "retrain-mini"}, tmp_path
    )
    (job,) = (job for job in retrained.jobs if job.kind == "classify")
    recipe = RetrainRecipe(network={"channels": 4, "cells": 3})
    network = new_network(job.subject.source, recipe, 3, seed=0)
    assert (type(network).__name__ == "CellNetwork") == (not isinstance(wanted, str))
    detected = plan(
        single.absolute(source),
        {"task": "detect", "data": "d", "made": "digits-coco"},
        {"detect": "detect-mini"},
        tmp_path,
    )
    (job,) = (job for job in detected.jobs if job.kind == "detect")
    assert parse_source(job.subject.source) == parse_source(source)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_means_the_same_backbone_for_re_identification(kind, texts):
    from reid.model import reid_backbone

    found = reid_backbone(texts[kind], last_stride=2, **SMALL)
    assert same(found.name if isinstance(found, TimmBackbone) else found.body.genotype, SOURCES[kind])


def test_networks_of_torchreid_are_for_re_identification_and_everything_else_says_so(tmp_path):
    source = "torchreid:osnet_x0_25"
    assert parse_source(source) == BackboneSource("torchreid", "osnet_x0_25")
    task = {"task": "reid", "data": "d", "made": "reid", "parts": 1, "set": "market1501"}
    reid = plan(source, task, {"reid": "reid-mini"}, tmp_path)
    assert [job.subject.source for job in reid.jobs if job.kind == "reid"] == [source]
    calls = [
        lambda: build_backbone(source),
        lambda: single._untrained(source),
        lambda: export.export(source, "onnx", "x"),
    ]
    for call in calls:
        with pytest.raises(NaswildError, match="serve re-identification only"):
            call()


@pytest.mark.parametrize("call", [build_backbone, single.absolute, single._untrained, parse_source])
def test_a_name_that_is_none_is_refused_with_near_ones(call):
    with pytest.raises(UnknownName, match="unknown backbone 'resnet5O'; did you mean 'resnet50'"):
        call("resnet5O")


def test_a_suite_says_in_which_line(tmp_path):
    with pytest.raises(NaswildError, match=r"it\.yaml.*unknown backbone 'resnet5O'; did you mean 'resnet50'"):
        plan("resnet5O", {"task": "classify", "data": "digits"}, {"retrain": "retrain-mini"}, tmp_path)
