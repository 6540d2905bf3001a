"""Sampler indices that say which draw of the augmentation they ask for, so that no two visits to an image share one.

A worker process knows of the training's progress only what reaches it with an index. The epoch and the repetition
therefore travel in the index itself, through ``ConcatDataset`` and ``RepeatDataset`` and to workers that live on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


class Visit(int):
    """An index into a data set and, as ``path``, what makes this visit to it unlike any other.

    ``-`` and ``%``, by which wrappers of data sets turn their index into that of a member, keep the path: it names the
    index that the sampler gave, so that two copies of an image in a wrapper are two visits.
    """

    path: tuple[int, ...]

    def __new__(cls, index: int, path: tuple[int, ...] = ()) -> Visit:
        visit = super().__new__(cls, index)
        visit.path = path
        return visit

    def __sub__(self, other: int) -> Visit:
        return Visit(int(self) - other, self.path)

    def __mod__(self, other: int) -> Visit:
        return Visit(int(self) % other, self.path)


@DATA_SAMPLERS.register_module()
class CountVisits(Sampler[int]):
    """Gives the indices of another sampler as :class:`Visit`, the same ones however many processes share the work.

    The path of a visit is (epoch, index); a sampler that runs on without epochs, or gives an index again within one,
    adds the number of the pass over the data set and that of the repetition. All of this follows from the epoch and
    the position in the sampler's order, which a resumed run restores.

    Args:
        dataset: the data set, from the runner.
        sampler: config of the sampler that decides the order, e.g. ``dict(type="InfiniteSampler", shuffle=True)``.
        seed: of the order, from the runner.
    """

    def __init__(self, dataset: Any, sampler: dict[str, Any], seed: int | None = None) -> None:
        self.dataset = dataset
        self.sampler = DATA_SAMPLERS.build(sampler, default_args={"dataset": dataset, "seed": seed})
        self.epoch, self._given = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Tell the order and the visits the epoch; mmengine's ``DistSamplerSeedHook`` does."""
        if epoch != self.epoch:  # else loading may have started: a loop of iterations starts before the hook
            self.epoch, self._given = epoch, 0
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Visit]:
        processes, rank = getattr(self.sampler, "world_size", 1), getattr(self.sampler, "rank", 0)
        current, times = 0, Counter[int]()
        for index in self.sampler:
            turn = (self._given * processes + rank) // len(self.dataset)
            if turn != current:
                current, times = turn, Counter()
            again = times[index]
            times[index] += 1
            self._given += 1
            yield Visit(index, (self.epoch, index, *((turn, again) if turn or again else ())))
