"""Train a detector on a backbone and score it, exactly resumable: one call from a backbone's name to an outcome."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from detection.annotations import forget_annotations
from detection.backbone import backbone_config
from detection.chance import score_boxes, training_boxes
from detection.check import refuse_broken
from detection.coco_eval import METRICS, RECALLS, CocoScores
from detection.curves import draw_curves
from detection.data import CocoData
from detection.picture import draw_comparison
from detection.recipe import DetectRecipe, Execution
from detection.resample import ResampledAP, resample_ap
from nas.attempts import Attempts, device_name, peak_memory_bytes
from nas.progress import Report, silent
from nas.seeding import seed_all

if TYPE_CHECKING:
    from detection.run import DetectionRun

RESUME_POINT = "resume.pt"
DETECTOR = "detector.pth"
PICTURE = "detections.png"
CURVES = "precision_recall.png"
CONFIG = "config.json"


@dataclass(frozen=True)
class DetectOutcome:
    """What a detection run gives, and what it cost over all attempts. AP and AR are fractions of 1.

    ``metrics`` (AP AP50 AP75 APS APM APL) and ``recalls`` leave out a size that the data set has no box of; ``chance``
    is the baseline of :mod:`detection.chance` under the same names. ``resampled`` holds AP on image sets drawn with
    replacement, on the main process. ``curves`` holds the precision at 101 points of
    recall for IoU 0.5, 0.75 and the mean over 0.5 to 0.95; ``curves_picture`` shows them. Rates are images per second,
    in training and (network with post-processing) in evaluation. Multiply-adds and parameters are counted at
    ``input_size``; ``paper_macs`` are the backbone's as Table 4 counts them, with normalisation and ReLU.
    ``on_coco2017`` says whether the network was trained on COCO's train2017 and scored on its val2017.
    """

    metrics: dict[str, float]
    recalls: dict[str, float]
    per_class: dict[str, dict[str, float]]
    chance: dict[str, float]
    on_coco2017: bool
    resampled: ResampledAP | None
    curves: dict[str, list[float]]
    input_size: tuple[int, int, int]
    backbone_parameters: int
    backbone_macs: int
    paper_macs: int
    detector_parameters: int
    detector_macs: int
    seconds: float
    images_per_second: float
    inference_images_per_second: float
    peak_memory_bytes: int | None
    attempts: int
    device: str
    history: list[dict[str, float]]
    picture: Path
    curves_picture: Path
    detector: Path
    config: Path


def run_detection(
    backbone_source: Any,
    data: CocoData,
    recipe: DetectRecipe,
    *,
    seed: int,
    workdir: str | Path,
    split: Literal["val", "test"] = "val",
    pretrained: bool = True,
    report: Report = silent,
    execution: Execution | None = None,
) -> DetectOutcome:
    """Train SSD with the backbone on ``data.train`` and score it on ``data.val``, or on ``data.test``.

    Args:
        backbone_source: a weights file (its weights are the start), a name of the zoo, a genotype, or a timm model.
        workdir: keeps the log (``log/log.txt``), the resume point, the config and the trained detector. A run that was
            killed there continues after its last whole epoch and ends with the same numbers.
        split: the part that is scored; nothing is chosen on it.
        pretrained: False takes only the network from a weights file and starts from random weights.
        report: told every step.

    Raises:
        NaswildError: the data set is broken (all errors are listed), has fewer images with boxes than a batch, or no
            box to score with; the backbone is unknown; the weights do not fit; training diverged.
    """
    from detection.config import build_config
    from detection.run import DetectionRun, is_main, join_processes

    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    refuse_broken(data, split)
    execution = execution or Execution()
    truth = data.split(split).read()
    chance_boxes = training_boxes(data.train.read(), truth)
    on_coco2017 = split == "val" and data.is_coco2017
    backbone = backbone_config(backbone_source, recipe, pretrained)
    world_size = join_processes()
    clock = Attempts(workdir, writes=is_main())
    config = build_config(
        backbone, data, recipe, execution, seed=seed, workdir=workdir, split=split, world_size=world_size
    )
    identity = _identity(backbone, data, recipe, seed)
    seed_all(seed, "init")
    run = DetectionRun(config, workdir / RESUME_POINT, identity, report, clock.beat)
    run.build_loaders()
    forget_annotations(data.train.annotations)
    run.train()
    scores, detections = run.score()
    resampled = None
    if is_main():
        resampled = resample_ap(truth, detections, engine=execution.engine)
        run.save_detector(workdir / DETECTOR)
        run.save_config(workdir / CONFIG, backbone_config(backbone_source, recipe, pretrained=False))
        draw_comparison(data.split(split), detections, workdir / PICTURE)
        draw_curves(scores, workdir / CURVES, f"{data.name}, {split}")
    clock.save()
    cost = _cost(run, clock, world_size) | {"on_coco2017": on_coco2017}
    chance = score_boxes(chance_boxes, truth, seed=seed, engine=execution.engine)
    return _outcome(run, scores, chance, resampled, (3, recipe.input_size, recipe.input_size), cost, workdir)


def _cost(run: DetectionRun, clock: Attempts, world_size: int) -> dict[str, Any]:
    return {
        "seconds": clock.seconds,
        "attempts": clock.count,
        "device": device_name(run.device, world_size),
        "peak_memory_bytes": peak_memory_bytes(run.device),
        "images_per_second": run.point.images / run.point.busy_seconds,
        "inference_images_per_second": run.inference.images / run.inference.seconds,
    }


def _identity(backbone: dict[str, Any], data: CocoData, recipe: DetectRecipe, seed: int) -> str:
    """What a resume point must agree with."""
    parts = {"backbone": backbone, "data": data.version, "recipe": recipe.model_dump(), "seed": seed}
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def _outcome(
    run: DetectionRun,
    scores: CocoScores,
    chance: dict[str, float],
    resampled: ResampledAP | None,
    size: tuple[int, int, int],
    cost: dict[str, Any],
    workdir: Path,
) -> DetectOutcome:
    backbone, paper, detector = run.count(size)
    measured = {name: value for name, value in scores.stats.items() if value >= 0}
    return DetectOutcome(
        metrics={name: measured[name] for name in METRICS if name in measured},
        recalls={name: measured[name] for name in RECALLS if name in measured},
        per_class=scores.per_class,
        chance={name: value for name, value in chance.items() if value >= 0},
        resampled=resampled,
        curves={
            "IoU 0.5": scores.curve(0.5).tolist(),
            "IoU 0.75": scores.curve(0.75).tolist(),
            "IoU 0.5:0.95": scores.curve().tolist(),
        },
        input_size=size,
        backbone_parameters=backbone.parameters,
        backbone_macs=backbone.macs,
        paper_macs=paper.macs,
        detector_parameters=detector.parameters,
        detector_macs=detector.macs,
        history=run.point.history,
        picture=workdir / PICTURE,
        curves_picture=workdir / CURVES,
        detector=workdir / DETECTOR,
        config=workdir / CONFIG,
        **cost,
    )
