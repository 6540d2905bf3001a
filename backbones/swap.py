"""Another backbone in an mmdet config: ``swap("retinanet_r50_fpn_1x_coco", "pdarts_cifar10", "new.py")``.

The new config is complete and readable, and plain mmdet tools run it. The levels keep the strides of the old backbone,
so anchors and heads stay as they are; every channel number that depends on the backbone is derived, and the
normalisation of the images becomes the new backbone's. Before the file is kept, it is read back, built and trained for
one step (:mod:`backbones.swap_trial`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from backbones.mmdet_config import (
    CUSTOM_IMPORT,
    Levels,
    backbone_config,
    build,
    detector_of,
    dicts,
    levels_of,
    load_config,
    mmdet_scope,
    rewrite_channels,
)
from backbones.pyramid import STRIDES
from backbones.source import parse_source
from backbones.swap_optimizer import rewrite_optimizer
from backbones.swap_trial import read_back, try_out
from nas.errors import NaswildError
from nas.files import atomic_write

_UNTRIED = "not tried: the new detector was neither built nor run"


@dataclass(frozen=True)
class Swap:
    """What a swap did: the file, the backbones, each changed entry of the config, warnings, and what was tried."""

    path: str
    before: str
    after: str
    changes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    trial: str = _UNTRIED

    def __str__(self) -> str:
        lines = [*self.changes, *(f"WARNING: {warning}" for warning in self.warnings), self.trial]
        return "\n".join([f"{self.path}: {self.before} -> {self.after}", *(f"  {line}" for line in lines)])


def swap(
    config: str,
    backbone: Any,
    out: str | os.PathLike[str],
    *,
    channels: int = 48,
    cells: int = 14,
    trial: bool = True,
    **options: Any,
) -> Swap:
    """Write the mmdet config ``config`` with ``backbone`` in the place of its own to ``out``.

    Args:
        config: A file, or the name of a config that mmdet ships.
        backbone: A name of the zoo, a genotype, a weights file or a timm model.
        out: The new config (``.py``).
        channels, cells: Size of a network of cells that comes without a file.
        trial: Build the written detector and its optimiser and train it for one step before the file is kept.
        options: Further options of the backbone (``drop_path``, ``checkpointing``, ...).

    Raises :class:`NaswildError` if the config's neck or heads cannot take another backbone.
    """
    source = parse_source(backbone).pyramid()
    with mmdet_scope():
        cfg = load_config(config)
        name, model = detector_of(cfg)
        before = _own_backbone(model, config)
        old = build(before, "the config's own backbone")
        levels = levels_of(old)
        trained = source.kind == "weights" or bool(options.get("pretrained"))
        habits, told = _habits(before, old, trained)
        habits |= _places(before, levels, config) | options
        new = backbone_config(source, channels=channels, cells=cells, **habits)
        built: Any = build(new, "the new backbone")
        changes = [f"levels: strides {built.strides}, channels {levels.channels} -> {built.channels}"]
        changes += (derived := rewrite_channels(model, levels.channels, built.channels, name))
        if not derived:
            raise NaswildError(f"{config}: nothing in neck or heads reads the backbone's channels {levels.channels}")
        model.backbone = new
        changes += [*told, *_normalise(cfg, built.mean, built.std), *_forget_old_weights(cfg)]
        changes += rewrite_optimizer(cfg.get("optim_wrapper"), old, built, trained=trained)
        changes += _imports(cfg, str(before.type))
        label = Path(source.value).name if source.kind == "weights" else source.name
        warnings = _without_weights(before, name, trained)
        done = Swap(os.fspath(out), str(before.type), label, tuple(changes), tuple(warnings))
        text = _header(config, done, trial) + cfg.pretty_text
        if trial:
            done = replace(done, trial=try_out(text, config))
        else:
            read_back(text, config)
    atomic_write(out, text.encode())
    return done


def _own_backbone(model: Any, config: str) -> Any:
    if not isinstance(model.get("backbone"), dict):
        raise NaswildError(f"{config} has no model.backbone (nor model.detector.backbone) to swap")
    if "type" not in model.backbone:
        raise NaswildError(f"{config}: its backbone is built by another library ({model.get('type')}), not by mmdet")
    if (model.get("roi_head") or {}).get("shared_head") is not None:
        raise NaswildError(
            f"{config}: its heads share the last stage of a ResNet (roi_head.shared_head), which no other backbone "
            f"has; take the config with an FPN"
        )
    if any("rfp_backbone" in node for node in dicts(model)):
        raise NaswildError(
            f"{config}: its neck (RFP) holds a second backbone that feeds the first; ours take images only"
        )
    return model.backbone


def _places(before: Any, levels: Levels, config: str) -> dict[str, Any]:
    """Our levels with the strides of the old backbone.

    A last stage that is dilated instead of strided (DC5) is our last level at stride 16; a level at stride 64 (P6) is
    pooled from the last one.
    """
    strides = list(levels.strides)
    options: dict[str, Any] = {}
    dilated = list(before.get("strides") or ())[3:] == [1]
    if dilated and max(before.get("out_indices") or (3,)) == 3:
        options["last_stride"], strides[-1] = 1, STRIDES[-1]
    elif strides[-2:] == [STRIDES[-1], 2 * STRIDES[-1]]:
        options["extra_levels"] = 1
        strides.pop()
    if len(set(strides)) != len(strides) or not set(strides) <= set(STRIDES):
        raise NaswildError(f"{config}: its backbone has levels at strides {levels.strides}; ours are at {STRIDES}")
    return options | {"out_indices": tuple(STRIDES.index(stride) for stride in strides)}


def _habits(before: Any, old: nn.Module, trained: bool) -> tuple[dict[str, Any], list[str]]:
    """What the old backbone did with its normalisation and first stages, as far as it makes sense for the new one."""
    habits: dict[str, Any] = {}
    told = []
    norm = (before.get("norm_cfg") or {}).get("type")
    if norm == "SyncBN" or (norm == "GN" and not trained):
        habits["norm"] = norm
        told.append(f"norm: {norm}, as before")
    elif norm == "GN":
        told.append("norm: GN -> BN, which the new weights were trained with")
    if getattr(old, "norm_eval", False):
        habits |= {"norm_eval": True} if trained else {}
        told.append("norm_eval: True, as before" if trained else "norm_eval: True -> False (random weights)")
    if (frozen := getattr(old, "frozen_stages", -1)) >= 0:
        habits |= {"frozen_stages": max(0, frozen - 1)} if trained else {}  # theirs: 0 is the stem, 1 is stride 4
        after = f"{max(0, frozen - 1)}, counted from 0 at stride 4" if trained else "-1 (random weights)"
        told.append(f"frozen_stages: {frozen} -> {after}")
    gone = [key for key in before if key not in ("type", "out_indices", "init_cfg", "norm_eval", "frozen_stages")]
    if gone:
        told.append(f"gone with the old backbone: {', '.join(gone)}")
    return habits, told


def _without_weights(before: Any, name: str, trained: bool) -> list[str]:
    """The warning that the new backbone starts from nothing where the old one was trained."""
    weights = before.get("init_cfg") or before.get("pretrained")
    if trained or not weights:
        return []
    source = weights.get("checkpoint", weights) if isinstance(weights, dict) else weights
    return [
        f"{name}.backbone started from {source}; the new one starts from random weights, which take a longer schedule. "
        f'Take a weights file as the backbone (in the config: weights="FILE.safetensors"), or of a timm model '
        f"pretrained=True"
    ]


def _normalise(cfg: Any, mean: Sequence[float], std: Sequence[float]) -> list[str]:
    """The images' normalisation (RGB, 0 to 255) in the preprocessors and in what fills borders with the mean."""
    means, deviations = ([round(255 * value, 3) for value in values] for values in (mean, std))
    before = []
    for preprocessor in _preprocessors(cfg.model):
        before.append(list(preprocessor.get("mean") or []))
        order = "to_rgb" if "to_rgb" in preprocessor else "bgr_to_rgb"  # ReIDDataPreprocessor's word, the others'
        preprocessor.update({"mean": means, "std": deviations, order: True})
        preprocessor.pop("rgb_to_bgr", None)
    for node in dicts(cfg._cfg_dict):
        if node.get("type") == "Expand" and list(node.get("mean") or []) in before:
            node.update(mean=means, to_rgb=True)
    return [f"model.data_preprocessor: mean {means}, std {deviations}, RGB"]


def _preprocessors(model: Any) -> list[Any]:
    """Those that see images; one that serves several branches holds the one that does."""
    found = [node["data_preprocessor"] for node in dicts(model) if isinstance(node.get("data_preprocessor"), dict)]
    return [preprocessor for preprocessor in found if "data_preprocessor" not in preprocessor]


def _forget_old_weights(cfg: Any) -> list[str]:
    changes = [f"load_from: {cfg.load_from} -> None"] if cfg.get("load_from") else []
    cfg.load_from = None
    for name, model in {"model": cfg.model, detector_of(cfg)[0]: detector_of(cfg)[1]}.items():
        if model.get("init_cfg"):
            changes.append(f"{name}.init_cfg: removed (weights of the old detector)")
            model.init_cfg = None
    return changes


def _imports(cfg: Any, old_type: str) -> list[str]:
    """Our package for the new backbone; not that of the old one, unless something else comes from there."""
    imports = cfg.get("custom_imports") or {"imports": [], "allow_failed_imports": False}
    names = imports["imports"] if isinstance(imports["imports"], list) else [imports["imports"]]
    scope, dot, _ = old_type.partition(".")
    idle = bool(dot) and not any(str(node.get("type")).startswith(f"{scope}.") for node in dicts(cfg._cfg_dict))
    kept = [name for name in names if not (idle and name.split(".")[0] == scope) and name != CUSTOM_IMPORT]
    cfg.custom_imports = {**imports, "imports": [*kept, CUSTOM_IMPORT]}
    gone = [f"custom_imports: {name} removed" for name in names if name not in (*kept, CUSTOM_IMPORT)]
    return [*gone, f"custom_imports: {CUSTOM_IMPORT}"]


def _header(config: str, done: Swap, trial: bool) -> str:
    name = Path(config).name
    lines = [
        f"{name} with the backbone {done.after} in the place of {done.before}.",
        "Every mmdet tool runs it, e.g. Runner.from_cfg(Config.fromfile(this file)).train(). Changed:",
        *(f"  {change}" for change in done.changes),
        *(f"WARNING: {warning}" for warning in done.warnings),
        *([] if trial else [_UNTRIED]),
    ]
    return (
        "".join(
            f"# {' '.join(line.split())}\n" if line[0] != " " else f"#   {' '.join(line.split())}\n" for line in lines
        )
        + "\n"
    )
