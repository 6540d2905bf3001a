"""The result store: one JSON file for one (backbone, task, protocol, seed), written the moment the numbers exist.

A run directory holds ``results/<job>.json``; a job's name ends in its key, so a result is found by its key without
opening any other file. Loading a result and computing it are the same thing to the caller (see :mod:`benchmarks.run`).

Schema (version 1), every field of it, is the five models below.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from nas.errors import NaswildError
from nas.files import atomic_write

SCHEMA_VERSION = 1
FORM = "form"  # the key in a variant that holds a suite's ``form:``; its value speaks for itself

BackboneKind = Literal["searched", "random", "published", "timm", "torchreid", "file"]


class StoreError(NaswildError):
    """A result file that cannot be read; the message names the file, the field and the way out."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(_Record):
    """One number of a result. A metric that is not defined on the data (no large objects, say) is left out, not NaN."""

    value: FiniteFloat
    chance: FiniteFloat | None = None  # what guessing gives on the same data, in the same unit
    higher_is_better: bool = True
    unit: str = "fraction"  # "fraction" (0 to 1; tables print percent) or a physical unit such as "s"


class Cost(_Record):
    """What the job took, all attempts together (a resumed job adds up)."""

    seconds: float
    attempts: int = 1
    device: str
    peak_memory_bytes: int | None = None
    images_per_second: float | None = None


class Backbone(_Record):
    """Which network the result is about; ``parameters`` and ``macs`` (multiply-adds) hold at ``input_size`` (H, W)."""

    # The row of a table: "pdarts@digits" (all seeds of a search share it), "random-1" (each cell its own), "darts_v2".
    name: str
    kind: BackboneKind
    method: str | None = None  # the search method of a searched or random cell
    genotype: dict[str, Any] | None = None  # Genotype.to_dict(); None for networks that are not cells
    parameters: int | None = None
    macs: int | None = None
    input_size: list[int] | None = None
    search_seed: int | None = None


class Provenance(_Record):
    """Where the number comes from."""

    versions: dict[str, str]  # distribution -> version
    git: str | None = None  # commit, with "+dirty" when the tree had changes
    machine: str
    data: str  # name of the data, e.g. "digits", "digits-coco"
    data_version: str  # content hash of the data
    split: str  # which part was measured, e.g. "test", "val", "query/gallery"
    created: str  # ISO 8601, UTC


class Result(_Record):
    """One finished job."""

    schema_version: int = SCHEMA_VERSION
    key: str  # content hash of everything that decides the number; see benchmarks.plan
    suite: str
    job: str  # readable name, ends in the key; also the folder jobs/<job> and the file results/<job>.json
    kind: str  # "search", "classify", "detect", "reid", or the name of a registered task
    task: str  # "digits", "coco", "market1501", ...
    variant: dict[str, int | str] = {}  # e.g. {"parts": 3}
    backbone: Backbone
    protocol: str
    protocol_hash: str
    protocol_version: int
    seed: int
    metrics: dict[str, Metric]
    cost: Cost
    details: dict[str, Any] = {}  # per-class values, history, trajectory, feature_dim, detector_macs, ...
    artifacts: dict[str, str] = {}  # what -> path relative to the run directory
    provenance: Provenance


def results_dir(run_dir: Path) -> Path:
    """Folder of a run's result files."""
    return Path(run_dir) / "results"


def save_result(run_dir: Path, result: Result) -> Path:
    """Write ``results/<job>.json`` in one step: a reader sees the old file or the new one, never a part."""
    path = results_dir(run_dir) / f"{result.job}.json"
    atomic_write(path, result.model_dump_json(indent=1).encode())
    return path


def load_results(run_dir: Path, holding: str = "") -> list[Result]:
    """All results of a run whose job name holds a text, by job name; the others' files are not opened.

    Raises:
        StoreError: a file is damaged, or written by a newer version of this package.
    """
    return [read_result(path) for path in result_files(run_dir, holding)]


def find_result(run_dir: Path, key: str) -> Result | None:
    """The result with this key, or None when the job has not finished yet; raises like :func:`load_results`."""
    found = result_files(run_dir, holding=f"{key}.json")
    return read_result(found[0]) if found else None


def result_files(run_dir: Path, holding: str = "") -> list[Path]:
    """Paths of a run's result files whose name holds a text, sorted."""
    folder = results_dir(run_dir)
    if not folder.is_dir():
        return []
    every = os.listdir(folder)  # noqa: PTH208 - names, not paths: a store may hold 100,000 of them
    names = sorted(name for name in every if name.endswith(".json") and holding in name)
    return [folder / name for name in names if not name.startswith(".")]


def read_result(path: Path) -> Result:
    """Read and validate one result file; raises :class:`StoreError` with the field at fault."""
    try:
        result = Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise StoreError(
            f"{path}: not a valid result ({where}: {first['msg']}); delete the file and run the suite again"
        ) from error
    if result.schema_version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: has schema version {result.schema_version}, this naswild reads up to {SCHEMA_VERSION}; "
            "upgrade naswild"
        )
    return result
