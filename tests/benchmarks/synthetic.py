"""Made-up results in the shape of the mini suite: eight networks, three kinds of task."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from benchmarks.store import Backbone, Cost, Metric, Provenance, Result
from nas import zoo
from nas.genotype import Genotype

CELLS = {"searched": ("pdarts@digits", "darts@digits"), "published": ("pdarts_cifar10", "darts_v2")}
REID = (("market1501", 1), ("market1501", 3), ("market1501", 6), ("dukemtmcreid", 3), ("msmt17", 3))
RANDOM_CELLS = 3
QUALITY = {"searched": 0.06, "published": 0.05, "timm": 0.02, "random": 0.0}


def mini_results(seeds: tuple[int, ...] = (0,), search_seeds: tuple[int, ...] = (0,)) -> list[Result]:
    """The results of a finished mini suite, searches included."""
    results: list[Result] = []
    for number, backbone in enumerate(backbones(search_seeds)):
        quality = {"searched": 0.06, "published": 0.05, "timm": 0.02, "random": 0.0}[backbone.kind] + 0.004 * (
            number % 5
        )
        draw = random.Random(f"{backbone.name}/{backbone.search_seed}")
        if backbone.kind in {"searched", "random"}:
            results.append(search_result(backbone))
        for seed in seeds:
            results.append(classify_result(backbone, seed, 0.92 + 0.8 * quality + draw.uniform(-0.01, 0.01)))
            results.append(detect_result(backbone, seed, 0.18 + quality + draw.uniform(-0.02, 0.02)))
            results += reid_results(backbone, seed, 0.55 + quality + draw.uniform(-0.03, 0.03))
    return results


def backbones(search_seeds: tuple[int, ...] = (0,)) -> Iterator[Backbone]:
    """Two searched methods, three random cells, two published cells, one timm network."""
    names = [name for name in zoo.names() if name not in CELLS["published"]]
    for first, method in ((0, "pdarts"), (20, "darts")):
        for seed in search_seeds:
            yield _cell(f"{method}@digits", "searched", method, zoo.genotype(names[first + seed]), seed)
    for seed in range(RANDOM_CELLS):
        yield _cell("random", "random", "random", zoo.genotype(names[(10 + seed) % len(names)]), seed)
    for name in CELLS["published"]:
        yield _cell(name, "published", None, zoo.genotype(name), None)
    yield Backbone(name="timm:resnet10t", kind="timm", parameters=4_900_000, macs=21_000_000, input_size=[32, 32])


def _cell(name: str, kind: Any, method: str | None, genotype: Genotype, seed: int | None) -> Backbone:
    size = 60_000 + 1_000 * len(name)
    return Backbone(
        name=name,
        kind=kind,
        method=method,
        genotype=genotype.to_dict(),
        parameters=size,
        macs=size * 90,
        input_size=[32, 32],
        search_seed=seed,
    )


def make_result(backbone: Backbone, kind: Any, task: str, metrics: dict[str, Metric], **fields: Any) -> Result:
    """One result with the parts that every kind shares filled in; ``fields`` override them."""
    variant = fields.get("variant", {})
    seed = fields.get("seed", 0)
    words = [kind, task, *map(str, variant.values()), backbone.name, str(backbone.search_seed), f"s{seed}"]
    key = "-".join([*words, fields.get("protocol_hash", "0123456789ab")])
    protocol = {"classify": "retrain-mini"}.get(kind, f"{kind}-mini")
    split = {"search": "train", "detect": "val", "reid": "query/gallery"}.get(kind, "test")
    values: dict[str, Any] = {
        "key": key,
        "suite": "mini",
        "job": key,
        "kind": kind,
        "task": task,
        "backbone": backbone,
        "protocol": protocol,
        "protocol_hash": "0123456789ab",
        "protocol_version": 1,
        "seed": seed,
        "metrics": metrics,
        "cost": Cost(seconds=7.5, device="cpu", images_per_second=310.0, peak_memory_bytes=700_000_000),
        "provenance": Provenance(
            versions={"naswild": "0.1.0", "torch": "2.9.0"},
            git="6c2a27a",
            machine="2 cores",
            data=task,
            data_version="f00dfeed0123",
            split=split,
            created="2025-01-01T00:00:00Z",
        ),
    }
    return Result(**{**values, **fields})


def search_result(backbone: Backbone, **fields: Any) -> Result:
    """A search on digits, with a trajectory over its stages."""
    seconds = 0.1 if backbone.kind == "random" else 28.0
    details = {} if backbone.kind == "random" else {"stages": [_stage(stage) for stage in range(3)]}
    return make_result(
        backbone, "search", "digits", {}, cost=Cost(seconds=seconds, device="cpu"), details=details, **fields
    )


def _stage(stage: int) -> dict[str, Any]:
    """A stage of three epochs in which the alphas move from an even choice towards a decision."""
    epochs = [
        {
            "epoch": epoch,
            "skips": 1 + stage + epoch // 2,
            "alphas": {cell: [[0.4 * (stage + epoch), 0.0, 0.1]] * 14 for cell in ("normal", "reduce")},
        }
        for epoch in range(3)
    ]
    return {"stage": stage, "trajectory": epochs}


def classify_result(backbone: Backbone, seed: int, top1: float, **fields: Any) -> Result:
    """A digits result: top-1 and top-5 with their chance levels."""
    metrics = {"top1": Metric(value=min(top1, 1.0), chance=0.1), "top5": Metric(value=0.99, chance=0.5)}
    return make_result(backbone, "classify", "digits", metrics, seed=seed, **fields)


def detect_result(backbone: Backbone, seed: int, ap: float, **fields: Any) -> Result:
    """A detection result with the six numbers of Table 4."""
    factors = {"AP": 1.0, "AP50": 1.8, "AP75": 0.9, "APS": 0.4, "APM": 1.1, "APL": 1.5}
    metrics = {name: Metric(value=ap * factor, chance=0.001) for name, factor in factors.items()}
    sized = backbone.model_copy(update={"input_size": [128, 128], "macs": (backbone.macs or 0) * 16})
    return make_result(sized, "detect", "coco", metrics, seed=seed, **fields)


def reid_results(backbone: Backbone, seed: int, rank1: float, **fields: Any) -> list[Result]:
    """Results on the three sets, the first one with 1, 3 and 6 parts."""
    results = []
    for data, parts in REID:
        value = rank1 + 0.01 * parts - (0.1 if data == "msmt17" else 0.0)
        metrics = {"rank1": Metric(value=value, chance=0.02), "mAP": Metric(value=value * 0.7, chance=0.05)}
        sized = backbone.model_copy(update={"input_size": [96, 48], "macs": (backbone.macs or 0) * 4})
        details = {"feature_dim": 256 * parts, "data_title": data, "data_notes": ["100 training images"]}
        results.append(
            make_result(sized, "reid", data, metrics, variant={"parts": parts}, seed=seed, details=details, **fields)
        )
    return results
