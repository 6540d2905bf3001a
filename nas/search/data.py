"""The proxy's training images as a search sees them: two halves, in whole batches, lightly augmented.

What a step sees is a pure function of the seed, the stage, the epoch and the step, so a resumed search sees the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from nas.errors import NaswildError
from nas.images import FileImages, Images, MemoryImages
from nas.loading import Batch, Loader
from nas.proxies import Proxy
from nas.search.recipe import SearchRecipe
from nas.seeding import derive_seed, generator

Half = Literal["weights", "alphas"]
# Processes that decode images of sets that do not fit into memory.
WORKERS = 4


class SearchData:
    """Batches of a search: float32 (N, 3, H, W), normalised, channels_last, with int64 labels (N,).

    Only whole batches are used, so that every step has the same shape; which images an epoch leaves out is random.

    Args:
        proxy: Its ``train`` images are split into a half for the weights and a half for the architecture.
        recipe: Batch size, image size, split and augmentation.
        seed: The search's seed.
        device: Where batches go.
    """

    def __init__(self, proxy: Proxy, recipe: SearchRecipe, seed: int, device: torch.device) -> None:
        self.recipe, self.seed = recipe, seed
        size = recipe.image_size or proxy.image_size
        images = _resized(proxy.train, size)
        self.loader = Loader(images, size, proxy.mean, proxy.std, device, WORKERS)
        self.halves = _split(len(images), recipe.halves, seed)
        self.steps = len(self.halves["weights"]) // recipe.batch_size
        if self.steps == 0:
            raise NaswildError(
                f"{proxy.name}: half of its {len(images)} training images is less than one batch of "
                f"{recipe.batch_size}; lower batch_size in the search protocol"
            )

    def epoch(self, half: Half, stage: int, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The augmented batches of an epoch, from ``first_step`` on."""
        images = self.halves[half]
        order = torch.randperm(len(images), generator=generator(self.seed, "order", half, stage, epoch))
        chunks = images[order].split(self.recipe.batch_size)[first_step : self.steps]
        seed = derive_seed(self.seed, half, stage)
        return self.loader.augmented(chunks, self.recipe.augmentation, seed=seed, epoch=epoch)

    def validation(self) -> Iterator[Batch]:
        """The architecture half without augmentation."""
        return self.loader.plain(self.halves["alphas"].split(self.recipe.batch_size))


def _split(count: int, how: Literal["random", "index"], seed: int) -> dict[Half, Tensor]:
    """Two disjoint halves of ``count`` images, equally large; an odd one is left out."""
    order = torch.randperm(count, generator=generator(seed, "halves")) if how == "random" else torch.arange(count)
    half = count // 2
    return {"weights": order[:half], "alphas": order[half : 2 * half]}


def _resized(images: Images, size: int) -> Images:
    if isinstance(images, FileImages):
        return replace(images, image_size=size)
    if isinstance(images, MemoryImages) and images.pixels.shape[-1] != size:
        return replace(images, pixels=transform.resize(images.pixels, [size, size], antialias=True))
    return images
