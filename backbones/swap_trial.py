"""A written mmdet config put to the test: read back, built, and trained for one step on two random images."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backbones.mmdet_config import detector_of, dicts, for_trial, load_config
from backbones.offline import without_downloads
from nas.errors import NaswildError, require

# How mmdet says that channels do not fit, that an operation or a package is missing, that a teacher's file is not.
FAILURES = (
    *(RuntimeError, AssertionError, TypeError, ValueError, LookupError, AttributeError, NameError),
    *(OSError, ImportError, SyntaxError, NaswildError),
)
# Side of the images where the config fixes none, and what keeps one step small (a small image has few places to choose
# queries from): proposals, queries and sampled boxes an image.
_SIDE, _PROPOSALS, _QUERIES, _SAMPLES = 128, 20, 100, 16
# Side for one image without a step: re-identification's heads pool over 256 x 128.
_WHOLE = 256


def try_out(text: str, config: str) -> str:
    """Read the config ``text``, build its detector and optimiser, take one step; returns what was done, as a sentence.

    Nothing is downloaded: weights that the config names are not loaded. A detector that takes more than images and
    boxes runs on one image instead, as far as its dense heads.

    Raises:
        NaswildError: ``text`` does not do; with what mmdet said.
    """
    try:
        cfg = _read_back(text)
        with _quiet(), without_downloads():
            place, model = detector_of(cfg)
            detector = require("mmdet.registry", "detection").MODELS.build(_small(for_trial(model)))
            side = _side(model)
            if (reason := _not_steppable(detector)) is None:
                return f"tried: one training step of {place}, loss {_step(detector, cfg, side):.3g}"
            _run(detector, max(side, _WHOLE))
            return f"tried: {place} was built and run on one image; not trained for a step: {reason}"
    except FAILURES as error:
        raise NaswildError(
            f"{config} does not run with the new backbone here: {_first_line(error)}; if it would elsewhere, write it "
            f"without a trial (--untried)"
        ) from error


def _read_back(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.py"
        path.write_text(text, encoding="utf-8")
        return load_config(str(path))


def read_back(text: str, config: str) -> None:
    """Raise :class:`NaswildError` if ``text`` is not a config that mmengine reads."""
    try:
        _read_back(text)
    except FAILURES as error:
        raise NaswildError(f"{config}: the new config cannot be read: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Remarks of mmdet and PyTorch that no caller can act on; random numbers as they were."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            yield
    finally:
        logging.disable(disabled)


def _small(model: Any) -> Any:
    """``model`` with few proposals, queries and sampled boxes."""
    for node in dicts(model):
        for key, most in (("max_per_img", _PROPOSALS), ("num_queries", _QUERIES)):
            if isinstance(node.get(key), int):
                node[key] = min(node[key], most)
        if isinstance(node.get("sampler"), dict) and isinstance(node["sampler"].get("num"), int):
            node["sampler"]["num"] = min(node["sampler"]["num"], _SAMPLES)
    return model


def _side(model: Any) -> int:
    generator = (model.get("bbox_head") or {}).get("anchor_generator") or {}
    return generator.get("input_size") or _SIDE


def _not_steppable(detector: Any) -> str | None:
    """Why a batch of images, boxes, masks and classes of pixels is not enough for this detector; None if it is."""
    detectors = require("mmdet.models.detectors", "detection")
    kind = type(detector).__name__
    if not isinstance(detector, detectors.BaseDetector):
        return f"{kind} takes more than images"
    if hasattr(detector, "language_model"):
        return f"{kind} takes texts"
    if isinstance(detector, detectors.LAD):
        return f"{kind} takes the losses of a trained teacher, whose weights are not fetched here"
    if isinstance(detector, detectors.TwoStageDetector) and not detector.with_rpn:
        return f"{kind} takes proposals from a file"
    return None


def _step(detector: Any, cfg: Any, side: int) -> float:
    """One step of the config's optimiser on two random images; the loss, which must reach the backbone."""
    detector.init_weights()
    detector.train()
    _start(detector)
    optimizer = _optimizer(detector, cfg)
    data = _preprocessor(detector)(_batch(detector, cfg, side), True)
    loss, _ = detector.parse_losses(detector.loss(data["inputs"], data["data_samples"]))
    loss.backward()
    learning = [parameter for parameter in detector.backbone.parameters() if parameter.requires_grad]
    if learning and all(parameter.grad is None for parameter in learning):
        raise NaswildError("its loss does not reach the new backbone")
    if not torch.isfinite(loss):
        raise NaswildError(f"its loss on random images is {loss.item()}")
    optimizer.step()
    return float(loss)


def _start(detector: Any) -> None:
    """Tell heads that change with the epoch (TOOD) or the step (BoxInst) that training begins."""
    if hasattr(detector, "set_epoch"):
        detector.set_epoch(0)
    hub = require("mmengine.logging", "detection").MessageHub.get_current_instance()
    for counter in ("epoch", "iter"):
        hub.update_info(counter, 0)


def _optimizer(detector: nn.Module, cfg: Any) -> Any:
    """The optimiser by the config's constructor; without mixed precision, which needs a GPU."""
    wrapper = copy.deepcopy(cfg.get("optim_wrapper"))
    if not wrapper:
        return torch.optim.SGD(detector.parameters(), 1e-3)
    wrapper = {
        key: wrapper[key] for key in ("constructor", "paramwise_cfg", "optimizer", "clip_grad") if key in wrapper
    }
    build = require("mmengine.optim", "detection").build_optim_wrapper
    return build(detector, {"type": "OptimWrapper", **wrapper})


def _preprocessor(detector: Any) -> Any:
    """The detector's own, without batch augmentations (they enlarge the images); a plain one for parts of trackers."""
    kind = require("mmdet.models.data_preprocessors", "detection").DetDataPreprocessor
    own = detector.data_preprocessor
    if not isinstance(own, kind):
        return kind(mean=[0.0] * 3, std=[255.0] * 3)
    own.batch_augments = None
    return own


def _batch(detector: Any, cfg: Any, side: int) -> Any:
    """Two random images with boxes, masks and classes of pixels as the config loads them, all of the first class."""
    detectors = require("mmdet.models.detectors", "detection")
    stride = 8 if isinstance(detector, detectors.HybridTaskCascade) else 1  # HTC's pixels are classed at stride 8
    loaded = {key: _loads(cfg, f"with_{key}") for key in ("mask", "seg")}
    data = require("mmdet.testing", "detection").demo_mm_inputs(
        2,
        image_shapes=[(3, side, side)] * 2,
        num_items=[3, 2],
        with_mask=loaded["mask"],
        with_semantic=loaded["seg"],
        sem_seg_output_strides=stride,
    )
    for sample in data["data_samples"]:
        sample.gt_instances.labels.zero_()
        if loaded["seg"]:
            sample.gt_sem_seg.sem_seg.zero_()
    return data


def _loads(cfg: Any, what: str) -> bool:
    """Whether a step of the config's pipelines reads masks (``with_mask``) or classes of pixels (``with_seg``)."""
    return any(
        node.get(what, str(node.get("type")).endswith("LoadPanopticAnnotations"))
        for node in dicts(cfg._cfg_dict)
        if str(node.get("type")).endswith("Annotations")
    )


def _run(detector: Any, side: int) -> None:
    """One image through backbone, neck and those heads that take the neck's features as they are."""
    detectors = require("mmdet.models.detectors", "detection")
    dense = require("mmdet.models.dense_heads.base_dense_head", "detection").BaseDenseHead
    detector.eval()
    with torch.no_grad():
        run = getattr(detector, "extract_feat", detector.backbone)  # those of videos have no such method
        features = run(torch.zeros(1, 3, side, side))
        if isinstance(detector, detectors.SingleStageDetector | detectors.TwoStageDetector):
            for head in (getattr(detector, name, None) for name in ("bbox_head", "rpn_head")):
                if isinstance(head, dense):
                    head(features)
