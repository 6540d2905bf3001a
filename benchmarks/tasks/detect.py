"""Object detection: SSD on the backbone, on data in COCO's format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.items import Resampled
from benchmarks.tasks.cards import fit
from benchmarks.tasks.task import Assignment, Outcome, Task
from nas.errors import NaswildError

if TYPE_CHECKING:
    from detection.data import CocoData
    from detection.train import DetectOutcome
    from nas.progress import Report

METRICS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
# Options of the task with their values, the default first.
OPTIONS = {"split": ("val", "test"), "weights": ("pretrained", "none")}


class Detect(Task):
    """COCO's average precision on the validation or the test part, in total and by size of object.

    Options: ``split: test`` scores the test part, ``weights: none`` trains from random weights the network whose
    pretrained weights the backbone brings. ``processes`` share one job and its batch, each on its own GPU (or
    CPU core); with fewer GPUs, fewer processes share the job.
    """

    name = "detect"
    stage = "detect"
    recipe = "detection.recipe:DetectRecipe"
    metrics: ClassVar[Mapping[str, bool]] = dict.fromkeys(METRICS, True)
    options: ClassVar[Mapping[str, type]] = {**dict.fromkeys(OPTIONS, str), "processes": int}
    preload = ("benchmarks.tasks.warm_detect",)

    def target(self, data: str, options: Mapping[str, int | str]) -> str:
        """The data set; without pretrained weights a column of its own."""
        return f"{data} from scratch" if options.get("weights") == "none" else data

    def variant(self, options: Mapping[str, int | str]) -> dict[str, int | str]:
        """None: the target says which weights, the result's provenance which part."""
        del options
        return {}

    def missing(self, assignment: Assignment) -> list[str]:
        """The extra; options that do not exist or cannot be carried out; data not declared, or without the part."""
        from backbones.mmdet_import import prepare

        prepare()
        for name, known in OPTIONS.items():
            value = assignment.options.get(name, known[0])
            if value not in known:
                return [f"task detect: {name} is {' or '.join(known)}, not {value!r}"]
        if assignment.processes > 1 and assignment.recipe.batch_size % assignment.processes:
            batch = f"a batch of {assignment.recipe.batch_size} images"
            return [f"task detect: {batch} cannot be divided among {assignment.processes} processes"]
        if assignment.data.root is None:
            name = assignment.data.name
            return [f"data {name!r} is not declared: under data, give it a root, or {{made: digits-coco}}"]
        if assignment.options.get("split") == "test":
            _open(assignment).split("test")
        return []

    def run(self, assignment: Assignment) -> Outcome:
        """Train the detector from the backbone's weights and score it."""
        data, split = _open(assignment), assignment.options.get("split", "val")
        options = {
            "seed": assignment.seed,
            "workdir": assignment.workdir,
            "split": split,
            "pretrained": assignment.options.get("weights") != "none",
        }
        work = partial(_run, (assignment.subject.source, data, assignment.recipe), options)
        if (processes := fit(assignment.processes)) > 1:
            from nas.launch import run_in_processes

            found = run_in_processes(work, processes=processes, report=assignment.report)
        else:
            found = work(assignment.report)
        height, width = found.input_size[-2:]
        return Outcome(
            metrics={
                name: self.metric(name, value, found.chance.get(name))
                for name in METRICS
                if (value := found.metrics.get(name)) is not None
            },
            seconds=found.seconds,
            attempts=found.attempts,
            split=str(split),
            data_version=data.version,
            device=found.device,
            images_per_second=found.images_per_second,
            peak_memory_bytes=found.peak_memory_bytes,
            parameters=found.backbone_parameters,
            macs=found.backbone_macs,
            input_size=(height, width),
            details=_details(found),
            resampled=_resampled(found),
            artifacts={
                "picture": found.picture,
                "precision and recall": found.curves_picture,
                "detector": found.detector,
                "config": found.config,
            },
        )


def _run(arguments: tuple[Any, ...], options: Mapping[str, Any], report: Report) -> DetectOutcome:
    """The whole job in this process, or this process's part of it."""
    from detection.train import run_detection

    return run_detection(*arguments, report=report, **options)


def _open(assignment: Assignment) -> CocoData:
    from detection.data import CocoData

    if assignment.data.root is None:
        raise NaswildError(f"data {assignment.data.name!r} has no root")
    return CocoData.open(assignment.data.root, name=assignment.data.name)


def _resampled(found: DetectOutcome) -> Resampled | None:
    if found.resampled is None:
        return None
    return Resampled(found.resampled.images, found.resampled.sets, found.resampled.values)


def _details(found: DetectOutcome) -> dict[str, Any]:
    """What the tables and the report show besides the metrics."""
    return {
        "detector": "SSD",
        "data_is_published": found.on_coco2017,
        "paper_macs": found.paper_macs,
        "detector_parameters": found.detector_parameters,
        "detector_macs": found.detector_macs,
        "inference_images_per_second": found.inference_images_per_second,
        "recalls": found.recalls,
        "per_class": found.per_class,
        "curves": found.curves,
        "history": found.history,
    }
