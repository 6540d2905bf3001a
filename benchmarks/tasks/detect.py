"""Object detection: SSD on the backbone, on data in COCO's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.tasks.task import Assignment, Outcome, Task
from nas.errors import NaswildError

if TYPE_CHECKING:
    from detection.data import CocoData
    from detection.train import DetectOutcome

METRICS = ("AP", "AP50", "AP75", "APS", "APM", "APL")


class Detect(Task):
    """COCO's average precision on the validation part, in total and by size of object."""

    name = "detect"
    stage = "detect"
    recipe = "detection.recipe:DetectRecipe"
    metrics: ClassVar[Mapping[str, bool]] = dict.fromkeys(METRICS, True)
    preload = ("benchmarks.tasks.warm_detect",)

    def missing(self, assignment: Assignment) -> list[str]:
        """The extra; data that is neither made by the suite nor found in COCO's format at a root."""
        from detection.mmdet_import import prepare

        prepare()
        if assignment.data.root is None:
            name = assignment.data.name
            return [f"data {name!r} is not declared: under data, give it a root, or {{made: digits-coco}}"]
        return []

    def run(self, assignment: Assignment) -> Outcome:
        """Train the detector from the backbone's weights and score it."""
        from detection.train import run_detection

        data = _open(assignment)
        found = run_detection(
            assignment.subject.source,
            data,
            assignment.recipe,
            seed=assignment.seed,
            workdir=assignment.workdir,
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
            split="val",
            data_version=data.version,
            device=found.device,
            images_per_second=found.images_per_second,
            peak_memory_bytes=found.peak_memory_bytes,
            parameters=found.backbone_parameters,
            macs=found.backbone_macs,
            input_size=(height, width),
            details=_details(found),
            artifacts={"picture": found.picture, "detector": found.detector, "config": found.config},
        )


def _open(assignment: Assignment) -> CocoData:
    from detection.data import CocoData

    if assignment.data.root is None:
        raise NaswildError(f"data {assignment.data.name!r} has no root")
    return CocoData.open(assignment.data.root, name=assignment.data.name)


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
