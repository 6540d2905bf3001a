"""Another backbone in an mmdet config: ``swap("retinanet_r50_fpn_1x_coco", "pdarts_cifar10", "new.py")``.

The new config is complete and readable, and plain mmdet tools run it. The levels keep the strides of the old backbone,
so anchors and heads stay as they are; every channel number that depends on the backbone is derived, and the
normalisation of the images becomes the new backbone's. Before the file is written, the detector is built and run once.
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
# How mmdet says that channels do not fit, that an operation or a package is missing, that a teacher's file is not.
_FAILURES = (
    *(RuntimeError, AssertionError, TypeError, ValueError, LookupError, AttributeError),
    *(OSError, ImportError),
)


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
    trial: bool = True,
    **options: Any,
) -> Swap:
    """Write the mmdet config ``config`` with ``backbone`` in the place of its own to ``out``.

    Args:
        config: A file, or the name of a config that mmdet ships.
        backbone: A name of the zoo, a genotype, a weights file or a timm model.
        out: The new config (``.py``).
        channels, cells: Size of a network of cells that comes without a file.
        trial: Build the new detector and run it once before the file is written.
        options: Further options of the backbone (``drop_path``, ``checkpointing``, ...).

    Raises :class:`NaswildError` if the config's neck or heads cannot take another backbone.
    """
    with mmdet_scope():
        cfg = load_config(config)
        name, model = _detector(cfg)
        old = _own_backbone(model, config)
        levels = measure(old)
        habits = _habits(old, trained=is_weights_file(backbone) or bool(options.get("pretrained")))
        habits |= {"out_indices": _indices(levels.strides, config), **options}
        new = backbone_config(backbone, channels=channels, cells=cells, **habits)
        built = require("mmdet.registry", "detection").MODELS.build(new)
        changes = [f"levels: strides {built.strides}, channels {levels.channels} -> {built.channels}"]
        changes += (derived := rewrite_channels(model, levels.channels, built.channels, name))
        if not derived:
            raise NaswildError(f"{config}: nothing in neck or heads reads the backbone's channels {levels.channels}")
        model.backbone = new
        changes += [*_normalise(cfg, built.mean, built.std), *_forget_old_weights(cfg), *_import_ours(cfg)]
        if trial:
            _try_out(model, config)
        else:
            changes.append("not tried: the new detector was neither built nor run")
    done = Swap(os.fspath(out), str(old.type), _describe(backbone), tuple(changes))
    atomic_write(out, _header(config, done).encode() + cfg.pretty_text.encode())
    return done


def _detector(cfg: Any) -> tuple[str, Any]:
    """The detector's place in the config and itself: that of a tracker or a teacher and its student is a level down."""
    model: Any = cfg.get("model") or {}
    inner = model.get("detector")
    return ("model.detector", inner) if isinstance(inner, dict) else ("model", model)


def _own_backbone(model: Any, config: str) -> Any:
    if not isinstance(model.get("backbone"), dict):
        raise NaswildError(f"{config} has no model.backbone (nor model.detector.backbone) to swap")
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
    """The images' normalisation (RGB, 0 to 255) in the preprocessors and in what fills borders with the mean."""
    means, deviations = ([round(255 * value, 3) for value in values] for values in (mean, std))
    before = []
    for preprocessor in _preprocessors(cfg.model):
        before.append(list(preprocessor.get("mean") or []))
        preprocessor.update(mean=means, std=deviations, bgr_to_rgb=True)
        preprocessor.pop("rgb_to_bgr", None)
    for node in _dicts(cfg._cfg_dict):
        if node.get("type") == "Expand" and list(node.get("mean") or []) in before:
            node.update(mean=means, to_rgb=True)
    return [f"model.data_preprocessor: mean {means}, std {deviations}, RGB"]


def _preprocessors(model: Any) -> list[Any]:
    """Those that see images; one that serves several branches holds the one that does."""
    found = [node["data_preprocessor"] for node in _dicts(model) if isinstance(node.get("data_preprocessor"), dict)]
    return [preprocessor for preprocessor in found if "data_preprocessor" not in preprocessor]


def _dicts(node: Any) -> list[Any]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    return [*([node] if isinstance(node, dict) else []), *(found for child in children for found in _dicts(child))]


def _forget_old_weights(cfg: Any) -> list[str]:
    changes = [f"load_from: {cfg.load_from} -> None"] if cfg.get("load_from") else []
    cfg.load_from = None
    for name, model in {"model": cfg.model, _detector(cfg)[0]: _detector(cfg)[1]}.items():
        if model.get("init_cfg"):
            changes.append(f"{name}.init_cfg: removed (weights of the old detector)")
            model.init_cfg = None
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
            run = getattr(detector, "extract_feat", detector.backbone)  # those of videos have no such method
            features = run(torch.zeros(1, 3, side, side))
            for head in _dense_heads(detector):
                head(features)
    except _FAILURES as error:
        raise NaswildError(
            f"{config} does not run with the new backbone here: {error}; if it would elsewhere, write it without a "
            f"trial (--untried)"
        ) from error


def _dense_heads(detector: Any) -> list[Any]:
    """The heads that take the neck's features as they are; those of transformers take queries and are left out."""
    detectors = require("mmdet.models.detectors", "detection")
    dense = require("mmdet.models.dense_heads.base_dense_head", "detection").BaseDenseHead
    if not isinstance(detector, detectors.SingleStageDetector | detectors.TwoStageDetector):
        return []
    heads = [getattr(detector, name, None) for name in ("bbox_head", "rpn_head")]
    return [head for head in heads if isinstance(head, dense)]


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
