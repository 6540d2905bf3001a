"""What ranking a gallery costs, beside the distance matrix product alone and beside torchreid's evaluator.

    python -m benchmarks.speed.ranking                # Market-1501's size, the three compared, one thread
    python -m benchmarks.speed.ranking --size msmt17  # time and memory of ours at MSMT17's size; torchreid's are stated
    python -m benchmarks.speed.ranking --rerank       # k-reciprocal re-ranking: time, memory and what was foreseen

CPU seconds, all in one process, the contestants taking turns (torchreid's evaluator, which takes over a minute,
has one). The descriptors are drawn, 2,048 numbers each, with as many images of an identity as the real sets have. The
product is the least that any exact ranking pays: everything above it is the ranking's own.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from backbones.torchreid_import import load_torchreid
from nas.errors import NaswildError
from nas.search.cost import reset_peak_memory
from nas.seeding import generator
from reid.distances import distance_blocks
from reid.ranking import Gallery, Ranking, evaluate, score_queries, summarise
from reid.reranking import Reranking, estimated_bytes

DIMENSIONS = 2048  # of ResNet-50's descriptor


@dataclass(frozen=True)
class Setting:
    """How many queries, gallery images, test identities, distractors among the gallery, and cameras a set has."""

    queries: int
    gallery: int
    identities: int
    distractors: int
    cameras: int

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Descriptors (q, d) and (g, d): a centre for each identity, and noise."""
        source = generator(0, "speed", self.queries, self.gallery)
        centres = torch.randn(self.identities, DIMENSIONS, generator=source)
        ids = (torch.from_numpy(self.labels[0]), torch.from_numpy(self.labels[1]))
        found = []
        for own in ids:
            rows = torch.randn(len(own), DIMENSIONS, generator=source).mul_(4.5)
            known = (own >= 0).nonzero()[:, 0]
            for part in known.split(4096):
                rows[part] += centres[own[part]]
            found.append(rows)
        return found[0], found[1]

    @cached_property
    def labels(self) -> tuple[np.ndarray, ...]:
        """Identities of queries and gallery, cameras of queries and gallery; a distractor is identity -1."""
        rng = np.random.default_rng(0)
        known = self.gallery - self.distractors
        query, gallery = np.arange(self.queries) % self.identities, np.arange(known) % self.identities
        gallery = rng.permutation(np.concatenate([gallery, np.full(self.distractors, -1)]))
        return (
            query,
            gallery,
            rng.integers(self.cameras, size=self.queries),
            rng.integers(self.cameras, size=self.gallery),
        )


# The published counts after Market-1501's junk is left out, as Ranking sees them.
SIZES = {"market1501": Setting(3368, 15913, 750, 2798, 6), "msmt17": Setting(11659, 82161, 3060, 0, 15)}


def rank_all(setting: Setting) -> Ranking:
    """Our ranking, end to end."""
    return evaluate(*setting.features, *setting.labels)


def rank_only(setting: Setting, distances: np.ndarray) -> Ranking:
    """Our ranking of distances that are there already."""
    query_ids, gallery_ids, query_cameras, gallery_cameras = setting.labels
    scores = score_queries([(0, distances)], Gallery(gallery_ids, gallery_cameras), query_ids, query_cameras)
    return summarise(scores)


def torchreid_only(setting: Setting, distances: np.ndarray) -> tuple[np.ndarray, float]:
    """torchreid's CMC and mAP of distances that are there already; the package on PyPI comes without compiled code."""
    return load_torchreid().metrics.rank.eval_market1501(distances, *setting.labels, 50)


def interleaved(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each task, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            seconds[name].append(time.process_time() - start)
    return {name: median(values) for name, values in seconds.items()}


def compare(setting: Setting, rounds: int) -> dict[str, float]:
    """Time all contestants, print their seconds, return the two ratios that matter."""
    query, gallery = setting.features
    distances = np.concatenate([block for _, block in distance_blocks(query, gallery)])
    tasks: dict[str, Callable[[], object]] = {
        "matrix product alone": lambda: query @ gallery.T,
        "ours, end to end": lambda: rank_all(setting),
        "ours, distances given": lambda: rank_only(setting, distances.copy()),
    }
    evaluator = {"torchreid, distances given": lambda: torchreid_only(setting, distances)}
    seconds = interleaved(tasks, rounds) | interleaved(evaluator, 1)
    for name, value in seconds.items():
        print(f"{name:36} {value:8.2f} s", flush=True)
    end_to_end = seconds["ours, end to end"] / seconds["matrix product alone"]
    ratio = seconds["torchreid, distances given"] / seconds["ours, distances given"]
    print(f"end to end over the product alone    {end_to_end:8.2f}")
    print(f"torchreid's evaluator over ours      {ratio:8.1f}")
    return {"end to end": end_to_end, "evaluator": ratio}


def measure_memory(setting: Setting) -> int:
    """Print and return the most bytes that our ranking holds above the features (Linux)."""
    product = _product_seconds(setting)
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what making the features left behind would hide the ranking's own
    before = _reset_peak()
    start = time.process_time()
    ranking = rank_all(setting)
    seconds = time.process_time() - start
    above = _status("VmHWM") - before
    matrix = 4 * setting.queries * setting.gallery
    print(f"{setting.queries:,} queries, {setting.gallery:,} gallery images: mAP {100 * ranking.metrics['mAP']:.2f} %")
    print(f"ours, end to end                     {seconds:8.1f} s, {seconds / product:.2f} of the product alone")
    print(f"memory above the features            {above / 2**30:8.2f} GiB")
    print(f"torchreid holds (not run here)       {6 * matrix / 2**30:8.1f} GiB: distances, sorted indices and matches")
    return above


def measure_reranking(setting: Setting) -> int:
    """Print and return the most bytes that re-ranking holds above the features, beside what its check foresees."""
    (query, gallery), (query_ids, gallery_ids, query_cameras, gallery_cameras) = setting.features, setting.labels
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = _reset_peak()
    start = time.process_time()
    blocks = Reranking.of(query, gallery).blocks()
    scores = score_queries(blocks, Gallery(gallery_ids, gallery_cameras), query_ids, query_cameras)
    seconds = time.process_time() - start
    above = _status("VmHWM") - before
    images = setting.queries + setting.gallery
    print(f"{images:,} images re-ranked: mAP {100 * summarise(scores).metrics['mAP']:.2f} %, {seconds:.1f} s")
    print(f"memory above the features            {above / 2**30:8.2f} GiB")
    print(f"foreseen by the check                {estimated_bytes(images, DIMENSIONS) / 2**30:8.2f} GiB")
    print(f"one dense matrix over all images     {4 * images**2 / 2**30:8.2f} GiB (not made here)")
    return above


def _product_seconds(setting: Setting) -> float:
    """CPU seconds of the product, a block at a time since the whole matrix would be gigabytes."""
    query, gallery = setting.features
    start = time.process_time()
    for block in query.split(204):
        block @ gallery.T
    return time.process_time() - start


def _reset_peak() -> int:
    """Bytes held now; the kernel's record of the most starts again from here."""
    if not reset_peak_memory():
        raise NaswildError("this system has no record of a process's peak memory that can be started again")
    return _status("VmRSS")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Parse the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="market1501")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rerank", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.rerank:
        measure_reranking(SIZES[options.size])
        return
    if options.size == "market1501":
        compare(SIZES["market1501"], options.rounds)
    measure_memory(SIZES[options.size])


if __name__ == "__main__":
    main()
