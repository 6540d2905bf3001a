"""Training a backbone as a classification network; leaves the weights that the other tasks start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.tasks.proxy import open_proxy, require_readable
from benchmarks.tasks.task import Assignment, Outcome, Task

if TYPE_CHECKING:
    from torch import nn

    from nas.proxies import Proxy
    from nas.train import TrainOutcome


# Sets that were read without an error: reading one takes a while, and every backbone of a suite asks for it.
_READABLE: set[tuple[str, int | None]] = set()


class Classify(Task):
    """Top-1 and top-5 accuracy on the test images, and a weights file that describes itself."""

    name = "classify"
    stage = "retrain"
    recipe = "nas.train_recipe:RetrainRecipe"
    metrics: ClassVar[Mapping[str, bool]] = {"top1": True, "top5": True}
    preload = ("torch", "timm", "lightning_fabric", "sklearn.datasets", "nas.train", "backbones.weights")
    gives = "weights"

    def missing(self, assignment: Assignment) -> list[str]:
        """Models that timm does not know, proxies that cannot be read."""
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
        from benchmarks.items import right_answers
        from nas import count
        from nas.train import new_network, train_classifier

        recipe = assignment.recipe
        proxy = open_proxy(assignment.data, recipe.image_size)
        network = new_network(assignment.subject.source, recipe, proxy.num_classes, seed=assignment.seed)
        trained = train_classifier(
            network, proxy, recipe, seed=assignment.seed, workdir=assignment.workdir, report=assignment.report
        )
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
            details=_details(trained, classes),
            artifacts={"weights": weights},
            per_item={"top1": right_answers(network, proxy)},
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
