"""Scores of single images or queries: kept beside a result, so that two backbones can be compared in pairs.

``items/<job>.npz`` holds, for each metric that is a mean over the data, one number per image or query in the order of
the data. A metric that is no such mean, as COCO's AP, is kept on image sets drawn with replacement instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import NaswildError
from nas.files import atomic_write

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.store import Result

ARTIFACT = "per_item"
SETS = "sets of items"  # in a file: the number of items and what tells the drawn sets apart
GROUPS = "groups of items"  # in a file: for each item a number that it shares with others
ON_SETS = "{} on sets"  # in a file: a metric's values on the drawn sets


@dataclass(frozen=True, eq=False)
class Resampled:
    """Metrics on sets that were drawn with replacement from ``items`` images or queries: one value per set.

    ``sets`` is a number that tells which sets were drawn; two results are pairs only where they have the same.
    """

    items: int
    sets: int
    values: Mapping[str, Sequence[float] | np.ndarray]


def save_items(
    run_dir: Path,
    job: str,
    per_item: Mapping[str, Sequence[float]],
    resampled: Resampled | None = None,
    groups: Sequence[int] = (),
) -> dict[str, Path]:
    """Write the scores of one job, with the group of each item (the person of a query) where items have groups.

    Returns the artifact to add to its result, nothing where there are no scores.
    """
    import numpy as np

    if not per_item and resampled is None:
        return {}
    buffer = BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(scores, "float32") for name, scores in per_item.items()}
    if per_item and len(groups):
        arrays[GROUPS] = np.asarray(groups, dtype="int64")
    if resampled is not None:
        arrays[SETS] = np.array([resampled.items, resampled.sets], dtype="int64")
        arrays |= {ON_SETS.format(name): np.asarray(values, "float64") for name, values in resampled.values.items()}
    np.savez_compressed(buffer, **arrays)
    path = run_dir / "items" / f"{job}.npz"
    atomic_write(path, buffer.getvalue())
    return {ARTIFACT: path}


def load_items(run_dir: Path, result: Result, metric: str) -> np.ndarray | None:
    """The scores under ``metric`` (n,): from the file beside the result, or from a reported result's details.

    None where it has none. Raises :class:`NaswildError` for a file that is gone or damaged.
    """
    import numpy as np

    if ARTIFACT not in result.artifacts:
        inline = (result.details.get(ARTIFACT) or {}).get(metric)
        return None if inline is None else np.asarray(inline, float)
    (scores,) = _read(run_dir, result, metric)
    return None if scores is None else scores.astype(float)


def load_groups(run_dir: Path, result: Result) -> list[int]:
    """The group of each item; empty where items have none, or a version before November 2026 scored them."""
    if ARTIFACT not in result.artifacts:
        return []
    (groups,) = _read(run_dir, result, GROUPS)
    return [] if groups is None else groups.tolist()


def load_resampled(run_dir: Path, result: Result, metric: str) -> Resampled | None:
    """``metric`` alone on the sets that were drawn; None where it was not kept so. Raises as :func:`load_items`."""
    if ARTIFACT not in result.artifacts:
        return None
    sets, values = _read(run_dir, result, SETS, ON_SETS.format(metric))
    if sets is None or values is None:
        return None
    return Resampled(items=int(sets[0]), sets=int(sets[1]), values={metric: values})


def _read(run_dir: Path, result: Result, *names: str) -> list[np.ndarray | None]:
    """The arrays of these names in the file beside a result, None for those that it does not hold."""
    import numpy as np

    path = run_dir / result.artifacts[ARTIFACT]
    try:
        with np.load(path, allow_pickle=False) as found:
            return [found.get(name) for name in names]
    except (OSError, ValueError) as error:
        raise NaswildError(
            f"{path}: cannot be read ({error}); delete {result.job}'s result and run it again"
        ) from error
