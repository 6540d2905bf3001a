"""Use a trained PCB: its score on a set, its own or another, descriptors, and lists of the nearest images."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from backbones.metadata import WeightsMetadata
from nas.errors import NaswildError, unknown
from nas.files import atomic_write
from nas.parallel import connect
from nas.progress import Report, silent
from nas.train_recipe import Execution
from reid.datasets import OTHER_IMAGES, ReidData, labels_of, load_reid_data
from reid.pcb import PCB
from reid.recipe import ReidRecipe
from reid.score import Retrieval, describe, distances_between, score_network
from reid.weights import load_pcb

# What may be changed when a network is scored again; everything else belongs to its training.
OPTIONS = ("metric", "average_precision", "rerank", "flip_test")


@dataclass(frozen=True)
class Trained:
    """A network on its device with its recipe."""

    network: PCB
    metadata: WeightsMetadata
    recipe: ReidRecipe
    fabric: Fabric
    workers: int

    @classmethod
    def open(
        cls, weights: Path, options: Mapping[str, Any] | None = None, execution: Execution | None = None
    ) -> Trained:
        """The network of a weights file; ``options`` are those of its recipe that :data:`OPTIONS` names."""
        given, execution = dict(options or {}), execution or Execution()
        for name in given:
            if name not in OPTIONS:
                raise unknown("option of a trained PCB", name, OPTIONS)
        network, metadata, recipe = load_pcb(weights)
        recipe = ReidRecipe.model_validate({**recipe.model_dump(), **given})
        fabric = connect(execution, recipe.precision)
        memory_format = torch.channels_last if execution.channels_last else torch.contiguous_format
        network.to(fabric.device).to(memory_format=memory_format)
        return cls(network, metadata, recipe, fabric, execution.workers)

    def describe(self, paths: Sequence[str], report: Report = silent, stage: str = "describe") -> Tensor:
        """Descriptors (n, d) of the images at ``paths``."""
        mean, std = self.metadata.mean, self.metadata.std
        return describe(
            self.network, paths, self.recipe, self.fabric, mean, std, workers=self.workers, report=report, stage=stage
        )


@dataclass(frozen=True)
class PcbScore:
    """The score of a network on ``data``, and the seconds it took."""

    data: ReidData
    found: Retrieval
    seconds: float


def score_pcb(trained: Trained, root: Path, dataset: str | None = None, report: Report = silent) -> PcbScore:
    """Score a network on ``dataset`` below ``root``: by default the set that it was trained on."""
    head = trained.metadata.head
    name = dataset or (head.trained_on if head is not None else "")
    started = time.perf_counter()
    data = load_reid_data(root, name, trained.recipe.train_on)
    found = score_network(
        trained.network,
        data,
        trained.recipe,
        trained.fabric,
        mean=trained.metadata.mean,
        std=trained.metadata.std,
        workers=trained.workers,
        report=report,
    )
    return PcbScore(data, found, time.perf_counter() - started)


def save_descriptors(path: Path, data: ReidData, found: Retrieval) -> Path:
    """Write descriptors, identities, cameras and paths of queries and gallery as ``path`` (.npz).

    The arrays are ``query`` and ``gallery`` (n, d) float32, then ``query_ids``, ``query_cameras``, ``query_paths`` and
    the like in the same order: what :func:`reid.evaluate` takes.
    """
    arrays: dict[str, np.ndarray] = {}
    for part, people, features in (
        ("query", data.query, found.query),
        ("gallery", data.gallery, found.gallery),
    ):
        ids, cameras = labels_of(people)
        arrays |= {part: features.cpu().numpy(), f"{part}_ids": ids, f"{part}_cameras": cameras}
        arrays[f"{part}_paths"] = np.array([person.path for person in people])
    return _save_arrays(path, arrays)


def images_in(folder: Path) -> list[str]:
    """Paths of all images below ``folder``, sorted; raises :class:`NaswildError` if there are none."""
    if not folder.is_dir():
        raise NaswildError(f"{folder} is not a folder")
    paths = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in OTHER_IMAGES)
    if not paths:
        raise NaswildError(f"{folder} has no images ({', '.join(OTHER_IMAGES)})")
    return paths


def rank_folders(
    trained: Trained,
    query: Path,
    gallery: Path,
    *,
    top: int,
    descriptors: Path | None = None,
    report: Report = silent,
) -> list[dict[str, Any]]:
    """For each image of the folder ``query`` the ``top`` nearest of ``gallery``, nearest first.

    A row has ``query``, ``rank`` (from 1), ``gallery`` (both as paths) and ``distance``. Ties keep the gallery's order.
    ``descriptors`` is where to write both folders' descriptors and paths (.npz).
    """
    queries, others = images_in(query), images_in(gallery)
    mine, theirs = (
        trained.describe(queries, report, "describe queries"),
        trained.describe(others, report, "describe gallery"),
    )
    if descriptors is not None:
        arrays = {"query": mine.cpu().numpy(), "query_paths": np.array(queries)}
        _save_arrays(descriptors, {**arrays, "gallery": theirs.cpu().numpy(), "gallery_paths": np.array(others)})
    rows: list[dict[str, Any]] = []
    for start, block in distances_between(mine, theirs, trained.recipe)(range(len(queries))):
        for place, distances in enumerate(block, start):
            for rank, index in enumerate(np.argsort(distances, kind="stable")[:top].tolist(), 1):
                row = {"query": queries[place], "rank": rank, "gallery": others[index]}
                rows.append({**row, "distance": float(distances[index])})
    return rows


def save_ranking(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write ranked lists as CSV or JSON, by the ending of ``path``."""
    if path.suffix == ".json":
        text = json.dumps(list(rows), indent=1)
    elif path.suffix == ".csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, ["query", "rank", "gallery", "distance"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
    else:
        raise NaswildError(f"{path}: a ranking is written as .csv or .json")
    atomic_write(path, text.encode())
    return path


def _save_arrays(path: Path, arrays: dict[str, Any]) -> Path:
    if path.suffix != ".npz":
        raise NaswildError(f"{path}: descriptors are written as .npz")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    atomic_write(path, buffer.getvalue())
    return path
