"""Another backbone in an mmdet config: ``swap("retinanet_r50_fpn_1x_coco", "pdarts_cifar10", "new.py")``.

The new config is complete and readable, and plain mmdet tools run it. The levels keep the strides of the old backbone,
so anchors and heads stay as they are; every channel number that depends on the backbone is derived, and the
normalisation of the images becomes the new backbone's. Before the file is kept, the detector is built and run once.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backbones.mmdet_config import CUSTOM_IMPORT, backbone_config, load_config, measure, mmdet_scope, rewrite_channels
from backbones.pyramid import STRIDES
from backbones.weights import is_weights_file
from nas.errors import NaswildError, require
from nas.files import atomic_write

# Image side for the trial run of the new detector where the config fixes none.
_TRIAL_SIDE = 128


@dataclass(frozen=True)
class Swap:
    """What a swap did: the file, the backbones, and each changed entry of the config."""

    path: str
    before: str
    after: str
    changes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.path}: {self.before} -> {self.after}", *(f"  {change}" for change in self.changes)])


def swap(
    config: str,
    backbone: Any,
    out: str | os.PathLike[str],
    *,
    channels: int = 48,
    cells: int = 14,
    **options: Any,
) -> Swap:
    """Write the mmdet config ``config`` with ``backbone`` in the place of its own to ``out``.

    Args:
        config: A file, or the name of a config that mmdet ships.
        backbone: A name of the zoo, a genotype, a weights file or a timm model.
        out: The new config (``.py``).
        channels, cells: Size of a network of cells that comes without a file.
        options: Further options of the backbone (``drop_path``, ``checkpointing``, ...).

    Raises :class:`NaswildError` if the config's neck or heads cannot take another backbone.
    """
    with mmdet_scope():
        cfg = load_config(config)
        old = _own_backbone(cfg, config)
        levels = measure(old)
        habits = _habits(old, trained=is_weights_file(backbone) or bool(options.get("pretrained")))
        habits |= {"out_indices": _indices(levels.strides, config), **options}
        new = backbone_config(backbone, channels=channels, cells=cells, **habits)
        built = require("mmdet.registry", "detection").MODELS.build(new)
        changes = [f"levels: strides {built.strides}, channels {levels.channels} -> {built.channels}"]
        changes += (derived := rewrite_channels(cfg.model, levels.channels, built.channels))
        if not derived:
            raise NaswildError(f"{config}: nothing in neck or heads reads the backbone's channels {levels.channels}")
        cfg.model.backbone = new
        changes += [*_normalise(cfg, built.mean, built.std), *_forget_old_weights(cfg), *_import_ours(cfg)]
        _try_out(cfg.model, config)
    done = Swap(os.fspath(out), str(old.type), _describe(backbone), tuple(changes))
    atomic_write(out, _header(config, done).encode() + cfg.pretty_text.encode())
    return done


def _own_backbone(cfg: Any, config: str) -> Any:
    model: Any = cfg.get("model") or {}
    if not isinstance(model.get("backbone"), dict):
        raise NaswildError(f"{config} has no model.backbone to swap")
    if (model.get("roi_head") or {}).get("shared_head") is not None:
        raise NaswildError(
            f"{config}: its heads share the last stage of a ResNet (roi_head.shared_head), which no other backbone "
            f"has; take the config with an FPN"
        )
    return model.backbone


def _indices(strides: Sequence[int], config: str) -> tuple[int, ...]:
    """Our levels with the strides of the old backbone."""
    if len(set(strides)) != len(strides) or not set(strides) <= set(STRIDES):
        raise NaswildError(f"{config}: its backbone has levels at strides {tuple(strides)}; ours are at {STRIDES}")
    return tuple(STRIDES.index(stride) for stride in strides)


def _habits(old: Any, trained: bool) -> dict[str, Any]:
    """What the old backbone did with its normalisation and first stages, as far as it makes sense for the new one."""
    habits: dict[str, Any] = {}
    if (old.get("norm_cfg") or {}).get("type") == "SyncBN":
        habits["norm"] = "SyncBN"
    if trained and old.get("norm_eval"):
        habits["norm_eval"] = True
    if trained and old.get("frozen_stages", -1) >= 0:
        habits["frozen_stages"] = max(0, old.frozen_stages - 1)  # theirs counts the stem as 0 and stride 4 as 1
    return habits


def _normalise(cfg: Any, mean: Sequence[float], std: Sequence[float]) -> list[str]:
    """The images' normalisation (RGB, 0 to 255) in the preprocessor and in what fills borders with the mean."""
    preprocessor = cfg.model.data_preprocessor
    before = list(preprocessor.get("mean") or [])
    preprocessor.mean = [round(255 * value, 3) for value in mean]
    preprocessor.std = [round(255 * value, 3) for value in std]
    preprocessor.bgr_to_rgb = True
    preprocessor.pop("rgb_to_bgr", None)
    for node in _dicts(cfg._cfg_dict):
        if node.get("type") == "Expand" and list(node.get("mean") or []) == before:
            node.update(mean=preprocessor.mean, to_rgb=True)
    return [f"model.data_preprocessor: mean {preprocessor.mean}, std {preprocessor.std}, RGB"]


def _dicts(node: Any) -> list[Any]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    return [*([node] if isinstance(node, dict) else []), *(found for child in children for found in _dicts(child))]


def _forget_old_weights(cfg: Any) -> list[str]:
    changes = [f"load_from: {cfg.load_from} -> None"] if cfg.get("load_from") else []
    cfg.load_from = None
    if cfg.model.get("init_cfg"):
        changes.append("model.init_cfg: removed (weights of the old detector)")
        cfg.model.init_cfg = None
    return changes


def _import_ours(cfg: Any) -> list[str]:
    imports = cfg.get("custom_imports") or {"imports": [], "allow_failed_imports": False}
    names = imports["imports"] if isinstance(imports["imports"], list) else [imports["imports"]]
    cfg.custom_imports = {**imports, "imports": [*names, *([] if CUSTOM_IMPORT in names else [CUSTOM_IMPORT])]}
    return [f"custom_imports: {CUSTOM_IMPORT}"]


def _try_out(model: Any, config: str) -> None:
    """Build the new detector and run one image through backbone, neck and dense heads."""
    generator = (model.get("bbox_head") or {}).get("anchor_generator") or {}
    side = generator.get("input_size") or _TRIAL_SIDE
    try:
        with warnings.catch_warnings():  # ATSS reads an attribute of its own that mmdet has renamed
            warnings.filterwarnings("ignore", message="DeprecationWarning: `num_anchors` is deprecated")
            detector = require("mmdet.registry", "detection").MODELS.build(model).eval()
        with torch.no_grad():
            features = detector.extract_feat(torch.zeros(1, 3, side, side))
            for head in _dense_heads(detector):
                head(features)
    except (RuntimeError, AssertionError, TypeError, ValueError, IndexError) as error:
        raise NaswildError(f"{config} does not run with the new backbone: {error}") from error


def _dense_heads(detector: Any) -> list[Any]:
    """The heads that take the neck's features as they are; those of transformers take queries and are left out."""
    detectors = require("mmdet.models.detectors", "detection")
    if isinstance(detector, detectors.SingleStageDetector):
        return [detector.bbox_head]
    return [detector.rpn_head] if isinstance(detector, detectors.TwoStageDetector) and detector.with_rpn else []


def _describe(backbone: Any) -> str:
    return Path(backbone).name if is_weights_file(backbone) else str(backbone)


def _header(config: str, done: Swap) -> str:
    name = Path(config).name
    lines = [
        f"{name} with the backbone {done.after} in the place of {done.before}.",
        "Every mmdet tool runs it, e.g. Runner.from_cfg(Config.fromfile(this file)).train(). Changed:",
        *(f"  {change}" for change in done.changes),
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n"
