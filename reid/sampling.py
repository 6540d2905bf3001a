"""The order of the training images in an epoch, and each process's share of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.errors import NaswildError
from nas.seeding import generator


def epoch_order(labels: Tensor, batch_size: int, *, seed: int, epoch: int, images_per_identity: int = 0) -> Tensor:
    """Indices (steps, batch_size) of one epoch: whole batches only, a pure function of the seed and the epoch.

    With ``images_per_identity`` = 0 every image comes once, and the last images that fill no batch are left out.
    Otherwise each batch holds ``batch_size / images_per_identity`` identities with that many images each (P x K
    sampling of Hermans et al., 2017); every identity comes once per epoch, up to whole batches, and one with fewer
    images repeats them.
    """
    source = generator(seed, "order", epoch)
    if images_per_identity:
        return _identity_batches(labels, batch_size, images_per_identity, source)
    steps = len(labels) // batch_size
    if not steps:
        raise NaswildError(
            f"{len(labels)} training images do not fill one batch of {batch_size}; use a smaller batch_size"
        )
    return torch.randperm(len(labels), generator=source)[: steps * batch_size].view(steps, batch_size)


def _identity_batches(labels: Tensor, batch_size: int, images: int, source: torch.Generator) -> Tensor:
    identities = labels.unique()
    per_batch = batch_size // images
    steps = len(identities) // per_batch
    if not steps:
        raise NaswildError(
            f"{len(identities)} identities do not fill one batch of {per_batch} identities x {images} images"
        )
    chosen = identities[torch.randperm(len(identities), generator=source)[: steps * per_batch]]
    picked = []
    for identity in chosen.tolist():
        own = (labels == identity).nonzero()[:, 0]
        own = own[torch.randperm(len(own), generator=source)]
        picked.append(own.repeat(-(-images // len(own)))[:images])
    return torch.stack(picked).view(steps, batch_size)


def share(batch: Tensor, rank: int, processes: int) -> Tensor:
    """The part of a batch that process ``rank`` computes: neighbours, so that identities stay together."""
    if batch.shape[-1] % processes:
        raise NaswildError(f"batch_size {batch.shape[-1]} does not divide among {processes} processes")
    size = batch.shape[-1] // processes
    return batch[..., rank * size : (rank + 1) * size]


def require_other_identities(batch_size: int, images_per_identity: int, processes: int) -> None:
    """Raise :class:`NaswildError` unless each process's share of a batch holds whole identities, two at least.

    The triplet loss is computed within the share of a process: with one identity there is no other to be nearest.
    """
    size = batch_size // processes
    if size % images_per_identity or size < 2 * images_per_identity:
        raise NaswildError(
            f"the triplet loss needs two whole identities of {images_per_identity} images in each process's share of a "
            f"batch, and {batch_size} images among {processes} make {size} each; use a larger batch_size, fewer "
            "images_per_identity or fewer processes"
        )


def shard(items: int, rank: int, processes: int) -> range:
    """The images or queries that process ``rank`` of ``processes`` takes for itself; no two processes share one."""
    return range(rank, items, processes)
