"""Score a trained detector alone, or write its detections in the form that COCO's test-dev server takes.

The detector may be of any kind and come from :func:`detection.train.run_detection` or from mmdet's own ``train.py``:
what is needed is its checkpoint and its config.
"""

from __future__ import annotations

import pickle
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config

from backbones.mmdet_import import prepare
from detection.coco_eval import CocoScores, Engine
from detection.data import CocoData, CocoSplit
from detection.hooks import ReportProgress
from nas.errors import NaswildError
from nas.progress import Report, silent

prepare()

from detection import mmdet_models  # noqa: E402, F401  (fills the registries)
from detection.runner import CONFIG, QuietRunner  # noqa: E402


@dataclass(frozen=True)
class Evaluation:
    """``scores`` of ``images`` images, or the ``submission`` file where only that was asked for; seconds with loading.

    ``matched`` is how many tensors of the checkpoint the detector took: all of them, or it would have been refused.
    """

    scores: CocoScores | None
    submission: Path | None
    images: int
    seconds: float
    matched: int


def evaluate_detector(
    weights: str | Path,
    data: CocoData,
    *,
    split: str = "val",
    config: str | Path | None = None,
    classes: Sequence[str] | str | None = None,
    engine: Engine = "hotcoco",
    report: Report = silent,
) -> Evaluation:
    """Score the detector in ``weights`` on the part ``split`` of ``data``; its config lies beside it, or at ``config``.

    ``classes`` names the classes in the order of the detector's labels (one text: with commas between), for checkpoints
    that do not.

    Raises:
        NaswildError: no config, another detector than the config's, classes unknown or other than the data's, no boxes
            to score.
    """
    part = data.split(split)
    if not part.read()["annotations"]:
        raise NaswildError(
            f"{part.annotations} has no boxes to score with; write the file for COCO's server instead: --format-only"
        )
    with TemporaryDirectory() as folder:
        runner, matched = _open(Path(weights), part, config, classes, Path(folder), {"engine": engine}, report)
        seconds = _run(runner)
    scores = runner.test_loop.evaluator.metrics[0].scores["bbox"]
    return Evaluation(scores, None, len(runner.test_dataloader.dataset), seconds, matched)


def write_submission(
    weights: str | Path,
    data: CocoData,
    folder: str | Path,
    algorithm: str,
    *,
    split: str = "test",
    config: str | Path | None = None,
    classes: Sequence[str] | str | None = None,
    report: Report = silent,
) -> Evaluation:
    """Write ``folder/detections_test-dev2017_<algorithm>_results.json`` and the ``.zip`` that is uploaded to COCO.

    Another annotation file gives its own name in the place of ``test-dev2017``. Raises as :func:`evaluate_detector`,
    but the part needs no boxes.
    """
    if not algorithm or not all(c.isalnum() or c in "-." for c in algorithm):
        raise NaswildError(f"the name {algorithm!r} becomes part of a file's: letters, digits, - and . are allowed")
    part, folder = data.split(split), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"detections_{_set_name(part)}_{algorithm}_results.json"
    with TemporaryDirectory(dir=folder) as scratch:
        metric = {"format_only": True, "outfile_prefix": str(Path(scratch) / "results")}
        runner, matched = _open(Path(weights), part, config, classes, Path(scratch), metric, report)
        seconds = _run(runner)
        (Path(scratch) / "results.bbox.json").replace(final)
    with zipfile.ZipFile(final.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(final, final.name)
    return Evaluation(None, final, len(runner.test_dataloader.dataset), seconds, matched)


def _set_name(part: CocoSplit) -> str:
    """``test-dev2017`` for ``image_info_test-dev2017.json``, ``val2017`` for ``instances_val2017.json``."""
    return part.annotations.stem.removeprefix("image_info_").removeprefix("instances_")


def _open(
    weights: Path,
    part: CocoSplit,
    config: str | Path | None,
    told: Sequence[str] | str | None,
    folder: Path,
    metric: dict[str, Any],
    report: Report,
) -> tuple[QuietRunner, int]:
    """A runner with the detector and its weights, and how many tensors these are."""
    state = _read_checkpoint(weights)
    settings = _read_config(weights, config)
    classes = _class_order(state, part, told, weights)
    runner = QuietRunner.from_cfg(_test_config(settings, part, classes, folder, metric))
    try:
        runner.model.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        raise NaswildError(f"{weights} does not fit the detector of its config: {error}") from error
    runner.register_hook(ReportProgress(report, beat=lambda: None))
    return runner, len(state["state_dict"])


def _run(runner: QuietRunner) -> float:
    """Seconds of one pass, with loading and scoring."""
    started = time.perf_counter()
    runner.test()
    return time.perf_counter() - started


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NaswildError(f"detector {path} does not exist") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise NaswildError(f"{path} is not a detector's checkpoint: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or "state_dict" not in state:
        raise NaswildError(f"{path} is not a detector's checkpoint: it has no state_dict")
    return state


def _read_config(weights: Path, config: str | Path | None) -> Config:
    """The config of a checkpoint: ``config.json`` or the only ``.py`` beside it, as both train commands leave it."""
    if config is not None:
        path = Path(config)
    else:
        beside = [weights.with_name(CONFIG), *sorted(weights.parent.glob("*.py"))]
        found = [candidate for candidate in beside if candidate.is_file()]
        if not found:
            raise NaswildError(f"there is no config beside {weights} ({CONFIG} or a .py file); name it: -o config=FILE")
        path = found[0]
    try:
        return Config.fromfile(str(path))
    except (OSError, SyntaxError, ValueError, KeyError, AttributeError) as error:
        raise NaswildError(f"config {path} cannot be read: {error}") from error


def _class_order(state: dict[str, Any], part: CocoSplit, told: Sequence[str] | str | None, weights: Path) -> list[str]:
    """The classes as the detector numbers them: its checkpoint says it, or it is told; they must be the data's."""
    meta = state.get("meta", {})
    named = meta.get("dataset_meta", {}).get("classes") or meta.get("CLASSES")  # the second by mmdet 2
    known = [str(category["name"]) for category in part.read()["categories"]]
    if named and told:
        raise NaswildError(f"{weights} names its classes itself ({_few(named)}): leave the option classes out")
    if not named and not told:
        raise NaswildError(
            f"{weights} does not say which classes it was trained on, and in another order every box would count as "
            f"wrong. Name them in the order of its labels: -o classes={','.join(known)} (this is the order of "
            f"{part.annotations})"
        )
    classes = list(named or (told.split(",") if isinstance(told, str) else told or ()))
    if sorted(classes) != sorted(known):
        raise NaswildError(
            f"{weights} was trained on other classes than {part.annotations} has: {_few(classes)} against {_few(known)}"
        )
    return classes


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _test_config(
    config: Config, part: CocoSplit, classes: list[str], folder: Path, metric: dict[str, Any]
) -> dict[str, Any]:
    """What is left of a config when nothing is trained: model and loading, with another part of other data."""
    loader = config.get("test_dataloader") or config.val_dataloader
    dataset = dict(loader.dataset) | {"ann_file": str(part.annotations), "data_prefix": {"img": str(part.images)}}
    return {
        "model": config.model,
        "default_scope": "mmdet",
        "work_dir": str(folder),
        "experiment_name": f"evaluate-{time.time_ns()}",  # mmengine keeps loggers by name for the process's life
        "launcher": "none",
        "test_dataloader": dict(loader)
        | {"dataset": dataset | {"type": "CocoFormatDataset", "data_root": "", "metainfo": {"classes": classes}}},
        "test_cfg": {},
        "test_evaluator": {"type": "FastCocoMetric", "ann_file": str(part.annotations), "metric": "bbox", **metric},
        "default_hooks": {"runtime_info": {"type": "LeanRuntimeInfo"}, "logger": None, "checkpoint": None},
    }
