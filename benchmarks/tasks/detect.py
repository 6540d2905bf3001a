"""Object detection: SSD on the backbone, on data in COCO's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.items import Resampled
from benchmarks.tasks.task import Assignment, Outcome, Task
from nas.errors import NaswildError

if TYPE_CHECKING:
    from detection.data import CocoData
    from detection.train import DetectOutcome

METRICS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
# Options of the task with their values, the default first.
OPTIONS = {"split": ("val", "test"), "weights": ("pretrained", "none")}


class Detect(Task):
    """COCO's average precision on the validation or the test part, in total and by size of object.

    Options: ``split: test`` scores the test part, ``weights: none`` trains from random weights the network whose
    pretrained weights the backbone brings.
    """

    name = "detect"
    stage = "detect"
    recipe = "detection.recipe:DetectRecipe"
    metrics: ClassVar[Mapping[str, bool]] = dict.fromkeys(METRICS, True)
    options: ClassVar[Mapping[str, type]] = dict.fromkeys(OPTIONS, str)
    preload = ("benchmarks.tasks.warm_detect",)

    def target(self, data: str, options: Mapping[str, int | str]) -> str:
        """The data set; without pretrained weights a column of its own."""
        return f"{data} from scratch" if options.get("weights") == "none" else data

    def variant(self, options: Mapping[str, int | str]) -> dict[str, int | str]:
        """None: the target says which weights, the result's provenance which part."""
        del options
        return {}

    def missing(self, assignment: Assignment) -> list[str]:
        """The extra; values of options that do not exist; data that is not declared, or lacks the part to score."""
        from backbones.mmdet_import import prepare

        prepare()
        for name, known in OPTIONS.items():
            value = assignment.options.get(name, known[0])
            if value not in known:
                return [f"task detect: {name} is {' or '.join(known)}, not {value!r}"]
        if assignment.data.root is None:
            name = assignment.data.name
            return [f"data {name!r} is not declared: under data, give it a root, or {{made: digits-coco}}"]
        if assignment.options.get("split") == "test":
            _open(assignment).split("test")
        return []

    def run(self, assignment: Assignment) -> Outcome:
        """Train the detector from the backbone's weights and score it."""
        from detection.train import run_detection

        data, split = _open(assignment), assignment.options.get("split", "val")
        found = run_detection(
            assignment.subject.source,
            data,
            assignment.recipe,
            seed=assignment.seed,
            workdir=assignment.workdir,
            split="test" if split == "test" else "val",
            pretrained=assignment.options.get("weights") != "none",
            report=assignment.report,
        )
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
        "detector_parameters": found.detector_parameters,
        "detector_macs": found.detector_macs,
        "inference_images_per_second": found.inference_images_per_second,
        "recalls": found.recalls,
        "per_class": found.per_class,
        "curves": found.curves,
        "history": found.history,
    }
