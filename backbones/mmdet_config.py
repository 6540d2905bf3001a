"""mmdet configs as data: finding one, measuring its backbone, and rewriting the channels that depend on it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from backbones.metadata import CellArchitecture
from backbones.offline import without_downloads
from backbones.probe import evaluating
from backbones.source import parse_source
from backbones.weights import read_metadata
from nas.errors import NaswildError, require, unknown
from nas.genotype import Genotype

# What a config must import so that plain mmdet tools build our backbones.
CUSTOM_IMPORT = "backbones.mmdet_models"
_PROBE_SIDE = 256


class Levels(NamedTuple):
    """What a backbone puts out: the channels and the stride of each level."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


def load_config(source: str) -> Any:
    """The config in the file ``source``, or the one of this name that mmdet ships (``retinanet_r50_fpn_1x_coco``)."""
    require("mmdet", "detection")
    config_class = require("mmengine.config", "detection").Config
    path = Path(source)
    if not path.is_file():
        if path.suffix == ".py" and path.parent != Path():
            raise NaswildError(f"config file {source} does not exist")
        path = _shipped(source)
    try:
        return config_class.fromfile(str(path))
    except (SyntaxError, ValueError, KeyError, AttributeError, OSError, ImportError) as error:
        raise NaswildError(f"config {path} cannot be read: {error}") from error


def _shipped(name: str) -> Path:
    folder = Path(str(require("mmdet", "detection").__file__)).parent / ".mim" / "configs"
    configs = {p.stem: p for p in folder.rglob("*.py") if "_base_" not in p.parts}
    stem = name.removeprefix("mmdet::").removesuffix(".py").split("/")[-1]
    # The names were spelt with "_" in mmdet 2 and with "-" in mmdet 3; both find the config.
    spelt = {key.replace("-", "_"): key for key in configs}
    key = spelt.get(stem.replace("-", "_"))
    if key is None:
        raise unknown("mmdet config", stem, configs)
    return configs[key]


def detector_of(cfg: Any) -> tuple[str, Any]:
    """The detector's place in the config and itself: that of a tracker or a teacher and its student is a level down."""
    model: Any = cfg.get("model") or {}
    inner = model.get("detector")
    return ("model.detector", inner) if isinstance(inner, dict) else ("model", model)


def for_trial(model: Any) -> Any:
    """A copy of the config ``model`` that can be built in one process and fetches no weights.

    mmdet's constructors change the config that they get, and mmcv's ``MMSyncBN`` wants a process group.
    """
    model = copy.deepcopy(model)
    for node in dicts(model):
        for key in ("pretrained", "init_cfg", "teacher_ckpt"):
            if node.get(key) and (key != "init_cfg" or "Pretrained" in str(node[key])):
                node[key] = False if node[key] is True else None
        if node.get("type") in ("SyncBN", "MMSyncBN"):
            node["type"] = "BN"
    return model


def dicts(node: Any) -> Iterator[Any]:
    """Every mapping in a config, outer ones first."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        yield from dicts(child)


def measure(backbone: Any) -> Levels:
    """Channels and strides of the levels that the backbone config ``backbone`` gives, found by running it once."""
    return levels_of(build(backbone, "the config's own backbone"))


def build(backbone: Any, what: str) -> nn.Module:
    """The module of a backbone config, without pretrained weights; ``what`` names it in errors."""
    kind = backbone.get("type")
    try:
        with without_downloads():
            module: nn.Module = require("mmdet.registry", "detection").MODELS.build(for_trial(backbone))
    except (ImportError, LookupError, TypeError, AssertionError, ValueError, AttributeError) as error:
        raise NaswildError(f"{what} {kind!r} cannot be built: {error}") from error
    return module


def levels_of(module: nn.Module) -> Levels:
    """Channels and strides of what a backbone puts out, found by running it once."""
    with evaluating(module), torch.no_grad():
        outputs = module(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    levels = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    strides = tuple(2 ** round(math.log2(_PROBE_SIDE / level.shape[-1])) for level in levels)
    return Levels(tuple(level.shape[1] for level in levels), strides)


def backbone_config(source: Any, *, channels: int = 48, cells: int = 14, **options: Any) -> dict[str, Any]:
    """The mmdet config of ``source`` (anything that :func:`backbones.build_backbone` takes)."""
    found = parse_source(source).pyramid()
    if found.kind == "weights":
        is_cell = isinstance(read_metadata(found.value).architecture, CellArchitecture)
        kind = "CellBackbone" if is_cell else "TimmBackbone"
        return {"type": kind, "weights": str(Path(found.value).resolve()), **options}
    if found.kind == "timm":
        return {"type": "TimmBackbone", "name": found.value, **options}
    genotype = found.value if found.kind == "zoo" else Genotype.load(found.value).to_dict()
    return {"type": "CellBackbone", "genotype": genotype, "channels": channels, "cells": cells, **options}


def rewrite_channels(model: Any, old: Sequence[int], new: Sequence[int], name: str = "model") -> list[str]:
    """Replace ``old`` by ``new`` where neck and heads of ``model`` repeat the backbone's channels; lists the changes.

    ``name`` is the place of ``model`` in its config, for the list.

    Lists that begin with the channels (``neck.in_channels``, and with SSD also what the neck passes on),
    ``in_channels`` from the last to the first (YOLOv3), and a single ``in_channels`` that reads the last level: the
    first neck's, or the heads' where no neck changes the channels.
    """
    changes = []
    for path, holder, key in _channel_fields(model):
        value = holder[key]
        if isinstance(value, list | tuple) and tuple(value[: len(old)]) == tuple(old):
            holder[key] = type(value)([*new, *value[len(old) :]])
        elif isinstance(value, list | tuple) and key == "in_channels" and tuple(value) == tuple(old[::-1]):
            holder[key] = type(value)(new[::-1])
        elif isinstance(value, int) and value == old[-1] and _reads_backbone(path, model):
            holder[key] = new[-1]
        else:
            continue
        changes.append(f"{path.replace('model', name, 1)}: {value} -> {holder[key]}")
    return changes


def _channel_fields(node: Any, path: str = "model") -> Iterator[tuple[str, Any, str]]:
    """Every ``in_channels`` and ``out_channels`` below ``node``, but for the backbone's own."""
    if isinstance(node, dict):
        for key, value in list(node.items()):
            if key in ("in_channels", "in_channel", "out_channels"):
                yield f"{path}.{key}", node, key
            elif key != "backbone" and not key.startswith("teacher"):  # a teacher keeps a backbone of its own
                yield from _channel_fields(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _channel_fields(value, f"{path}[{index}]")


def _reads_backbone(path: str, model: Any) -> bool:
    """A single number is the backbone's where the first neck takes it in, or the heads of one without such a neck."""
    necks = model.get("neck") or []
    neck = necks if isinstance(necks, dict) else necks[0] if necks else {}
    if any(key in node for node in dicts(neck) for key in ("in_channels", "in_channel")):
        first = "model.neck." if isinstance(necks, dict) else "model.neck[0]."
        return path.startswith(first) and path.endswith(("in_channels", "in_channel"))
    return path.endswith(("in_channels", "in_channel", "roi_extractor.out_channels"))


@contextmanager
def mmdet_scope() -> Iterator[None]:
    """Within, names in a config mean mmdet's and ours, as in mmdet's own tools; imports :data:`CUSTOM_IMPORT`."""
    require("mmdet", "detection")
    import_module(CUSTOM_IMPORT)
    with require("mmengine.registry", "detection").DefaultScope.overwrite_default_scope("mmdet"):
        yield
