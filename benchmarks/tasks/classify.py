"""Training a backbone as a classification network; leaves the weights that the other tasks start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.tasks.cards import fit
from benchmarks.tasks.proxy import open_proxy, require_readable
from benchmarks.tasks.task import Assignment, Outcome, Task
from nas.errors import NaswildError

if TYPE_CHECKING:
    from torch import nn

    from nas.progress import Report
    from nas.proxies import Proxy
    from nas.train import TrainOutcome
    from nas.train_recipe import Execution

# How the machine carries the training out, as in nas.train_recipe.Execution; besides, how many processes share it, and
# whether its figures are written for TensorBoard (0 or 1).
EXECUTION = ("accumulate", "compile", "workers")

# Sets that were read without an error: reading one takes a while, and every backbone of a suite asks for it.
_READABLE: set[tuple[str, int | None]] = set()


class Classify(Task):
    """Top-1 and top-5 accuracy on the test images, and a weights file that describes itself."""

    name = "classify"
    stage = "retrain"
    recipe = "nas.train_recipe:RetrainRecipe"
    metrics: ClassVar[Mapping[str, bool]] = {"top1": True, "top5": True}
    options: ClassVar[Mapping[str, type]] = dict.fromkeys((*EXECUTION, "processes", "tensorboard"), int)
    preload = ("torch", "timm", "lightning_fabric", "sklearn.datasets", "nas.train", "backbones.weights")
    gives = "weights"

    def variant(self, options: Mapping[str, int | str]) -> dict[str, int | str]:
        """None: the options say how the machine works, not what is measured."""
        del options
        return {}

    def missing(self, assignment: Assignment) -> list[str]:
        """Models that timm does not know, proxies that cannot be read, options that cannot be carried out."""
        _execution(assignment)
        source = assignment.subject.source or ""
        if source.startswith("timm:"):
            import timm

            from nas.errors import unknown

            if not timm.is_model(source.removeprefix("timm:")):
                return [str(unknown("timm model", source.removeprefix("timm:"), timm.list_models()))]
        key = (assignment.data.version, assignment.recipe.image_size)
        if key not in _READABLE:
            require_readable(assignment.data, assignment.recipe.image_size)
            _READABLE.add(key)
        return []

    def run(self, assignment: Assignment) -> Outcome:
        """Train, score, count, save."""
        from nas import count

        proxy = open_proxy(assignment.data, assignment.recipe.image_size)
        network, trained = _train(assignment, proxy)
        weights = assignment.run_dir / "weights" / f"{assignment.job}.safetensors"
        self._save(weights, network, proxy, assignment, trained)
        size = (proxy.image_size, proxy.image_size)
        counted = count(network, size)
        classes = proxy.num_classes
        return Outcome(
            metrics={
                "top1": self.metric("top1", trained.top1, chance=1 / classes),
                "top5": self.metric("top5", trained.top5, chance=min(5, classes) / classes),
            },
            seconds=trained.seconds,
            attempts=trained.attempts,
            split="test",
            data_version=proxy.version,
            device=trained.device,
            images_per_second=trained.images_per_second,
            peak_memory_bytes=trained.peak_memory_bytes,
            parameters=counted.parameters,
            macs=counted.macs,
            input_size=size,
            details=_details(trained, classes)
            | {"paper_macs": count(network, size, convention="paper").macs}
            | ({"execution": dict(assignment.options)} if assignment.options else {}),
            artifacts={"weights": weights},
            per_item={"top1": trained.answers},
        )

    def _save(self, path: Any, network: nn.Module, proxy: Proxy, assignment: Assignment, trained: TrainOutcome) -> None:
        from backbones.weights import WeightsMetadata, save_weights

        metadata = WeightsMetadata(
            architecture=_architecture(network, assignment.subject.source),
            num_classes=proxy.num_classes,
            classes=proxy.classes,
            mean=proxy.mean,
            std=proxy.std,
            input_size=(3, proxy.image_size, proxy.image_size),
            recipe=assignment.recipe.model_dump(mode="json"),
            score={"top1": trained.top1, "top5": trained.top5},
        )
        save_weights(path, network, metadata)


def _train(assignment: Assignment, proxy: Proxy) -> tuple[nn.Module, TrainOutcome]:
    """The trained network and its outcome, from this process or from several that share the work."""
    from nas.launch import train_in_processes
    from nas.train import new_network, train_classifier

    source, recipe, seed = assignment.subject.source, assignment.recipe, assignment.seed
    with _report(assignment) as report:
        options: dict[str, Any] = {
            "seed": seed,
            "workdir": assignment.workdir,
            "report": report,
            "execution": _execution(assignment),
        }
        if (processes := fit(assignment.processes)) > 1:
            load = partial(open_proxy, assignment.data, recipe.image_size)
            return train_in_processes(source, load, recipe, processes=processes, **options)
        network = new_network(source, recipe, proxy.num_classes, seed=seed)
        return network, train_classifier(network, proxy, recipe, **options)


def _execution(assignment: Assignment) -> Execution:
    """The options about the machine; where fewer processes fit than are asked for, each computes several parts.

    Raises:
        NaswildError: a value that cannot be carried out.
    """
    from pydantic import ValidationError

    from nas.train_recipe import Execution

    given = {name: value for name, value in assignment.options.items() if name in EXECUTION}
    try:
        execution = Execution.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise NaswildError(f"option {first['loc'][0]} of task classify: {first['msg']}") from error
    parts = execution.accumulate * assignment.processes // fit(assignment.processes)
    return execution.model_copy(update={"accumulate": parts})


@contextmanager
def _report(assignment: Assignment) -> Iterator[Report]:
    """The job's reporter, which also writes ``tensorboard/<job>`` in the run directory if it is asked to."""
    if not assignment.options.get("tensorboard"):
        yield assignment.report
        return
    from nas.tensorboard import tensorboard

    with tensorboard(assignment.run_dir / "tensorboard" / assignment.job, assignment.report) as report:
        yield report


def _architecture(network: nn.Module, source: str | None) -> Any:
    from backbones.metadata import CellArchitecture, TimmArchitecture
    from nas.network import CellNetwork

    if isinstance(network, CellNetwork):
        return CellArchitecture.of(network.body)
    return TimmArchitecture(name=str(source).removeprefix("timm:"))


def _details(trained: TrainOutcome, classes: int) -> dict[str, Any]:
    known = asdict(trained)
    kept = ("test_loss", "history", "selected", "epoch", "corrupt_images")
    return {"classes": classes, **{name: known[name] for name in kept}}
