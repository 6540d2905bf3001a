"""Descriptors of a list of images, each process computing its share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from nas.augment import normalise
from nas.progress import Progress, Report, silent
from reid.images import ImageLoader
from reid.sampling import shard

BATCH = 100


@torch.inference_mode()
def extract_features(
    network: nn.Module,
    loader: ImageLoader,
    mean: Sequence[float],
    std: Sequence[float],
    fabric: Fabric,
    *,
    flip: bool = False,
    report: Report = silent,
    stage: str = "extract",
) -> Tensor:
    """Descriptors (n, d), float32 on the device, of all images of ``loader`` in their order; the same in every process.

    The network is put into evaluation mode and back. ``flip`` averages each image's descriptor with its mirror image's.
    """
    was_training = network.training
    network.eval()
    mine = torch.as_tensor(shard(len(loader.people), fabric.global_rank, fabric.world_size))
    chunks = mine.split(BATCH)
    rows = torch.empty(0, 0)
    for step, (chunk, pixels) in enumerate(zip(chunks, loader.batches(chunks), strict=True)):
        images = normalise(pixels, mean, std)
        with fabric.autocast():
            features = network(images).float()
            if flip:
                features = (features + network(images.flip(3)).float()) / 2
        if not step:  # all rows are allocated at once: pieces that are joined at the end would be held twice
            rows = features.new_empty(len(mine), features.shape[1])
        rows[step * BATCH : step * BATCH + len(chunk)] = features
        report(Progress(stage, 0, 1, step + 1, len(chunks)))
    network.train(was_training)
    return gather_shards(fabric, rows, len(loader.people))


def gather_shards(fabric: Fabric, rows: Tensor, total: int) -> Tensor:
    """The rows of all processes in order, each once: row i of ``total`` was computed by process i mod n."""
    if fabric.world_size == 1:
        return rows
    rows = rows.to(fabric.device)
    everyone = rows.new_empty(total, *rows.shape[1:])
    for process in range(fabric.world_size):
        theirs = everyone[process :: fabric.world_size]  # a view with gaps, which cannot be received into
        share = (
            rows if process == fabric.global_rank else torch.empty_like(theirs, memory_format=torch.contiguous_format)
        )
        torch.distributed.broadcast(share, process)
        theirs.copy_(share)
    return everyone
