"""Scores of what is trained already: a classification network on its kind of data, a detector on COCO-format data.

Nothing is trained and nothing stored; ``naswild evaluate --weights`` prints what these functions return.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import NaswildError, unknown
from nas.progress import Report, silent

if TYPE_CHECKING:
    from detection.evaluate import Evaluation
    from nas.evaluate import Score
    from nas.proxies import Proxy

SCORE_OPTIONS = {"split", "config", "classes", "engine"}
SUBMISSION_OPTIONS = {"split", "config", "classes", "algorithm"}


@dataclass(frozen=True)
class ClassifierScore:
    """The score of a network on the test images of ``proxy``, and the seconds it took, with decoding."""

    score: Score
    proxy: Proxy
    seconds: float


def classification_sets() -> tuple[str, ...]:
    """Names of the classification sets; a folder of class folders is one too."""
    from nas.proxies import NAMES

    return NAMES


def score_classifier(
    weights: Path,
    data: str,
    *,
    root: Path | None = None,
    options: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> ClassifierScore:
    """Score the network of a weights file on the test images of ``data``, at the size and normalisation of the file.

    Args:
        data: A classification set by name (its files at ``root``), or a folder of class folders.
        options: Further arguments of :func:`nas.proxies.load_proxy`, such as ``corrupt="skip"``.

    Raises:
        NaswildError: no weights file, data that is not there, or classes that are not those of the file.
    """
    import torch

    from backbones.weights import load_network, read_metadata
    from nas.evaluate import evaluate_classifier
    from nas.proxies import load_proxy
    from nas.train_recipe import Execution

    _require_known(options or {}, set(inspect.signature(load_proxy).parameters) - {"name_or_path", "root"}, data)
    metadata = read_metadata(weights)
    loaded = load_proxy(data, root=root, **{"image_size": metadata.input_size[-1], **(options or {})})
    _require_same_classes(weights, metadata.num_classes, metadata.classes, loaded)
    proxy = replace(loaded, mean=metadata.mean, std=metadata.std)
    network = load_network(weights).to(memory_format=torch.channels_last)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    started = time.perf_counter()
    score = evaluate_classifier(network, proxy, device=device, workers=Execution().workers, report=report)
    return ClassifierScore(score, proxy, time.perf_counter() - started)


def _require_same_classes(weights: Path, count: int, names: tuple[str, ...], proxy: Proxy) -> None:
    if count != proxy.num_classes or (names and names != proxy.classes):
        raise NaswildError(
            f"{weights} tells {count} classes apart ({_few(names)}), {proxy.name} has {proxy.num_classes} "
            f"({_few(proxy.classes)}); they must be the same, in the same order"
        )


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "unnamed"


def score_detector(
    detector: Path,
    root: Path,
    *,
    submission: Path | None = None,
    options: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> Evaluation:
    """Score a trained detector on a part of the COCO-format data at ``root``.

    Args:
        detector: The checkpoint; its config lies beside it unless ``options`` name one.
        submission: Only write the file for COCO's server into this folder.
        options: ``split`` (val; test for a submission), ``config`` (a file), ``classes`` (names in the
            order of the labels, for a checkpoint that has none), ``engine`` of the metric (hotcoco or
            pycocotools), or ``algorithm`` (in the submission's name).
    """
    from backbones.mmdet_import import prepare
    from detection.data import CocoData

    prepare()
    from detection.evaluate import evaluate_detector, write_submission

    given = dict(options or {})
    _require_known(given, SCORE_OPTIONS if submission is None else SUBMISSION_OPTIONS, "a detector")
    data = CocoData.open(root)
    if submission is not None:
        algorithm = str(given.pop("algorithm", "naswild"))
        return write_submission(detector, data, submission, algorithm, report=report, **given)
    return evaluate_detector(detector, data, report=report, **given)


def _require_known(options: Mapping[str, Any], known: set[str], owner: str) -> None:
    for name in options:
        if name not in known:
            raise unknown(f"option of {owner}", name, known)
