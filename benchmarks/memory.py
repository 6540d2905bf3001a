"""The GPU memory that a job needs: as measured in this run, else as its protocol states, else unknown.

A protocol may state a published or measured peak under ``gpu_memory``. It holds for the network that it was read from,
so both kinds of figure are estimates for any other backbone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.plan import DATA, SEARCH, Job
from benchmarks.protocol import GpuMemory
from benchmarks.store import Result

GB = 1e9
PROCESSOR = "cpu"  # prefix of the device of a result computed without a GPU


@dataclass(frozen=True)
class Card:
    """A GPU that jobs may use."""

    name: str
    gb: float


def cards() -> list[Card]:
    """The GPUs of this machine; loads torch, so an engine's worker is asked."""
    import torch

    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [Card(card.name, card.total_memory / GB) for card in found]


def measured(results: Iterable[Result | None]) -> dict[tuple[str, str], GpuMemory]:
    """(kind, protocol hash) -> the largest peak on a GPU among ``results``."""
    largest: dict[tuple[str, str], GpuMemory] = {}
    for result in results:
        if result is None or result.cost.peak_memory_bytes is None or PROCESSOR in result.cost.device:
            continue
        sort, gb = (result.kind, result.protocol_hash), result.cost.peak_memory_bytes / GB
        if sort not in largest or gb > largest[sort].gb:
            largest[sort] = GpuMemory(gb=gb, source=f"measured in this run: {result.job}, {result.cost.device}")
    return largest


def uses_card(job: Job) -> bool:
    """Whether a job would use a GPU: making data and drawing a random cell do not."""
    return job.kind != DATA and not (job.kind == SEARCH and job.subject is not None and job.subject.method == "random")


def needed(job: Job, known: Mapping[tuple[str, str], GpuMemory]) -> GpuMemory | None:
    """The estimate for ``job``, per GPU if it is spread over several; None: not measured."""
    if job.protocol is None:
        return None
    return known.get((job.kind, job.protocol.hash)) or job.protocol.gpu_memory


def too_small(need: GpuMemory, found: Iterable[Card]) -> bool:
    """Whether there are GPUs and none has enough memory."""
    sizes = [card.gb for card in found]
    return bool(sizes) and max(sizes) < need.gb
