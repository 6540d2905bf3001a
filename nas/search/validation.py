"""Validation accuracy of a supernet: on the half of the data that its weights were not trained on."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from nas.images import IGNORED
from nas.loading import Batch
from nas.search.architecture import Mixture
from nas.search.stage import Stage
from nas.search.team import Team


@torch.no_grad()
def accuracy(stage: Stage, mixture: Mixture, batches: Iterable[Batch], team: Team) -> float:
    """Top-1 accuracy of the supernet in evaluation mode, 0 to 1; each process brings its share of the ``batches``.

    ``mixture`` is one that the weights were trained with: the softmax, or for methods that sample, one operation an
    edge.
    """
    stage.supernet.eval()
    counts = torch.zeros(2, dtype=torch.int64, device=stage.device)
    for images, labels in batches:
        right = (stage.supernet(images, mixture).argmax(1) == labels).sum()
        counts += torch.stack([right, (labels != IGNORED).sum()])
    stage.supernet.train()
    correct, seen = (team.total(count) for count in counts.tolist())
    return correct / seen
