"""One search to be done, as a method receives it, and the outcome it is turned into."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nas.attempts import device_name
from nas.counting import count
from nas.genotype import Genotype
from nas.network import build_network
from nas.progress import Report, silent
from nas.proxies import Proxy
from nas.search.execution import SearchExecution
from nas.search.outcome import SearchOutcome, StageOutcome, describe_collapse
from nas.search.recipe import SearchRecipe
from nas.search.team import Team

# The network whose multiply-adds are reported and checked against a budget: the mobile setting of section 5.3.
MOBILE_CHANNELS, MOBILE_CELLS, MOBILE_CLASSES, MOBILE_SIZE = 48, 14, 1000, 224


@dataclass(frozen=True)
class SearchTask:
    """What a search method is given. ``protocol_hash`` is noted in the outcome."""

    method: str
    proxy: Proxy
    recipe: SearchRecipe
    seed: int
    workdir: Path
    report: Report = silent
    team: Team = field(default_factory=lambda: Team(torch.device("cpu")))
    execution: SearchExecution = field(default_factory=SearchExecution)
    protocol_hash: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two searches the same. Batch normalisation looks at one part of a batch, so ``parts`` is in it."""
        return {
            "method": self.method,
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "data": f"{self.proxy.name} {self.proxy.version} {self.proxy.image_size}",
            "parts": self.team.parts,
        }

    def outcome(
        self, genotype: Genotype, stages: list[StageOutcome], attempts: int = 1, seconds: float | None = None
    ) -> SearchOutcome:
        """The finished search; ``seconds`` defaults to the sum over the stages."""
        network = build_network(
            genotype, stem="imagenet", channels=MOBILE_CHANNELS, cells=MOBILE_CELLS, num_classes=MOBILE_CLASSES
        )
        size = count(network, MOBILE_SIZE)
        budget = self.recipe.max_macs
        peaks = [stage.peak_memory_bytes for stage in stages if stage.peak_memory_bytes is not None]
        return SearchOutcome(
            method=self.method,
            genotype=genotype,
            stages=stages,
            collapse=describe_collapse(stages) if stages else None,
            parameters=size.parameters,
            macs=size.macs,
            within_budget=None if budget is None else size.macs <= budget,
            seed=self.seed,
            recipe=self.recipe.model_dump(mode="json"),
            proxy=self.proxy.name,
            proxy_version=self.proxy.version,
            image_size=self.proxy.image_size,
            classes=list(self.proxy.classes),
            device=device_name(self.team.device, self.team.size),
            parts=self.team.parts,
            protocol_hash=self.protocol_hash,
            attempts=attempts,
            seconds=sum(stage.seconds for stage in stages) if seconds is None else seconds,
            peak_memory_bytes=max(peaks, default=None),
        )
