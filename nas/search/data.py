"""The proxy's training images as a search sees them: two halves, in whole batches, lightly augmented.

What a step sees is a pure function of the seed, the stage, the epoch and the step, so a resumed search sees the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from nas.errors import NaswildError
from nas.images import FileImages, Images, MemoryImages
from nas.loading import Batch, Loader
from nas.proxies import Proxy
from nas.search.recipe import SearchRecipe
from nas.search.team import Team
from nas.seeding import derive_seed, generator

Half = Literal["weights", "alphas"]


class SearchData:
    """Batches of a search: float32 (N, 3, H, W), normalised, channels_last, with int64 labels (N,).

    Only whole batches are used, so that every step has the same shape; which images an epoch leaves out is random. A
    batch is divided into equal parts, of which this process sees its own.

    Args:
        proxy: Its ``train`` images are split into a half for the weights and a half for the architecture.
        recipe: Batch size, number and size of the images, split and augmentation.
        seed: The search's seed.
        team: The processes that share the search, and the device where batches go.
        workers: Processes that decode images of a set too large for memory.
    """

    def __init__(self, proxy: Proxy, recipe: SearchRecipe, seed: int, team: Team, workers: int = 0) -> None:
        self.recipe, self.seed, self.team = recipe, seed, team
        size = recipe.image_size or proxy.image_size
        images = _resized(proxy.train, size)
        self.loader = Loader(images, size, proxy.mean, proxy.std, team.device, workers)
        self.halves = split(len(images), recipe, seed)
        self.steps = len(self.halves["weights"]) // recipe.batch_size
        if self.steps == 0:
            raise NaswildError(
                f"{proxy.name}: half of {2 * len(self.halves['weights'])} training images is less than one batch of "
                f"{recipe.batch_size}; lower batch_size in the search protocol"
            )
        if recipe.batch_size % team.parts or recipe.batch_size < 2 * team.parts:
            raise NaswildError(
                f"a batch of {recipe.batch_size} images cannot be divided into {team.parts} equal parts (processes x "
                "accumulate) of at least two, which batch normalisation needs; use another number of processes"
            )

    def epoch(self, half: Half, stage: int, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """This process's parts of the augmented batches of an epoch, from ``first_step`` on, one after the other."""
        images = self.halves[half]
        order = torch.randperm(len(images), generator=generator(self.seed, "order", half, stage, epoch))
        batches = images[order].split(self.recipe.batch_size)[first_step : self.steps]
        parts = [batch.chunk(self.team.parts)[part] for batch in batches for part in self.team.mine]
        seed = derive_seed(self.seed, half, stage)
        return self.loader.augmented(parts, self.recipe.augmentation, seed=seed, epoch=epoch)

    def take(self, epoch: Iterator[Batch]) -> list[Batch]:
        """This process's parts of the next batch."""
        return list(islice(epoch, self.team.accumulate))

    def validation(self) -> Iterator[Batch]:
        """This process's share of the architecture half, without augmentation."""
        chunks = self.halves["alphas"].split(self.recipe.batch_size)
        return self.loader.plain(chunks[self.team.rank :: self.team.size])


def split(count: int, recipe: SearchRecipe, seed: int) -> dict[Half, Tensor]:
    """Two disjoint halves, equally large, of ``count`` images or of the ``recipe.images`` of them that the seed draws.

    An odd image is left out. Raises :class:`NaswildError` when there are fewer images than asked for.
    """
    chosen = torch.arange(count)
    if recipe.images is not None:
        if recipe.images > count:
            raise NaswildError(f"images: {recipe.images} in the search protocol, but there are {count} to train on")
        chosen = torch.randperm(count, generator=generator(seed, "images"))[: recipe.images].sort().values
    if recipe.halves == "random":
        chosen = chosen[torch.randperm(len(chosen), generator=generator(seed, "halves"))]
    half = len(chosen) // 2
    return {"weights": chosen[:half], "alphas": chosen[half : 2 * half]}


def _resized(images: Images, size: int) -> Images:
    if isinstance(images, FileImages):
        return replace(images, image_size=size)
    if isinstance(images, MemoryImages) and images.pixels.shape[-1] != size:
        return replace(images, pixels=transform.resize(images.pixels, [size, size], antialias=True))
    return images
