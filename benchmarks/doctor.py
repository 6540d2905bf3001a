"""The checks behind ``naswild doctor``: each finding says what is installed, or how to install what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from benchmarks.provenance import installed_version, machine
from nas.errors import NaswildError

DATA_VARIABLE = "NASWILD_DATA"  # the folder of the user's data sets, for ``naswild doctor``
EXTRAS = {
    "detection": "SSD through mmdetection",
    "reid": "PCB through torchreid",
    "export": "networks as ONNX files",
    "ray": "jobs on a cluster",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report of ``naswild doctor``."""

    group: str
    name: str
    state: Literal["ok", "missing", "broken"]
    text: str


def examine(data: Path | None = None) -> list[Finding]:
    """Check this installation; ``data`` is the folder of the user's data sets."""
    folder = data or (Path(os.environ[DATA_VARIABLE]) if DATA_VARIABLE in os.environ else None)
    return [*_packages(), *_extras(), *_imports(), *_accelerators(), *_data(folder)]


def _packages() -> Iterator[Finding]:
    yield Finding("Packages", "python", "ok", sys.version.split()[0])
    version = installed_version("naswild")
    advice = "run from a checkout: requirements are not checked; install it with: pip install -e ."
    yield Finding("Packages", "naswild", "ok" if version else "missing", version or advice)
    for requirement in _requirements(None):
        yield _requirement("Packages", requirement, "pip install naswild")


def _extras() -> Iterator[Finding]:
    for extra, purpose in EXTRAS.items():
        for requirement in _requirements(extra):
            yield _requirement(f"Extra {extra}: {purpose}", requirement, f'pip install "naswild[{extra}]"')


def _requirements(extra: str | None) -> list[Requirement]:
    """What this distribution asks for: always (None), or for one extra."""
    found: list[Requirement] = []
    if installed_version("naswild") is None:
        return found
    for text in requires("naswild") or []:
        requirement = Requirement(text)
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if always == (extra is None) and (always or requirement.marker.evaluate({"extra": extra or ""})):  # type: ignore[union-attr]
            found.append(requirement)
    return found


def _requirement(group: str, requirement: Requirement, advice: str) -> Finding:
    found = installed_version(requirement.name)
    if found is None:
        return Finding(group, requirement.name, "missing", f"install it with: {advice}")
    if not requirement.specifier.contains(found, prereleases=True):
        return Finding(group, requirement.name, "broken", f"{found} is outside {requirement.specifier}; {advice}")
    return Finding(group, requirement.name, "ok", found)


def _imports() -> Iterator[Finding]:
    """Check that the packages with compiled dependencies can be imported."""
    parts = {"torch": "torch", "backbones": "timm", "backbones.mmdet_import": "mmdet", "reid.train": "torchreid"}
    for module, distribution in parts.items():
        if installed_version(distribution) is None:
            continue
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in there is the finding
            yield Finding("Imports", module, "broken", f"{type(error).__name__}: {error}")
        else:
            yield Finding("Imports", module, "ok", "")


def _accelerators() -> Iterator[Finding]:
    import torch

    from nas import native

    group = "Machine"
    yield Finding(group, "processor", "ok", machine())
    chosen = native.kernels() is not None or os.environ.get("NASWILD_NATIVE") == "0"
    yield Finding(group, "convolutions of a search", "ok" if chosen else "missing", native.status())
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            text = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
            yield Finding(group, f"cuda:{index}", "ok", text)
    elif torch.backends.mps.is_available():
        yield Finding(group, "mps", "ok", "")
    else:
        built = f"this torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "this torch is for CPUs"
        yield Finding(group, "accelerator", "missing", f"none found ({built}): small suites run, paper scale needs one")


def _data(folder: Path | None) -> Iterator[Finding]:
    group = "Data sets"
    yield Finding(group, "digits", "ok", "packaged with scikit-learn")
    if folder is None:
        advice = f"say where they are: naswild doctor --data FOLDER, or set {DATA_VARIABLE}"
        yield Finding(group, "yours", "missing", advice)
        return
    for name, (looked_for, advice) in _KNOWN_DATA.items():
        path = next((folder / place for place in looked_for if (folder / place).exists()), None)
        if path is None:
            yield Finding(group, name, "missing", f"no {' or '.join(looked_for)} in {folder}; {advice}")
        else:
            yield _checked(group, name, path, folder)


_KNOWN_DATA = {
    "cifar10": (("cifar-10-batches-py", "cifar10"), "cs.toronto.edu/~kriz/cifar.html"),
    "cifar100": (("cifar-100-python", "cifar100"), "cs.toronto.edu/~kriz/cifar.html"),
    "imagenet": (("imagenet", "ILSVRC2012"), "image-net.org, needs an account"),
    "coco": (("coco",), "cocodataset.org: train2017, val2017, annotations"),
    "market1501": (("market1501",), "the authors' page; layout: market1501/Market-1501-v15.09.15"),
    "dukemtmcreid": (("dukemtmc-reid",), "withdrawn by its authors in 2019; only from a copy you have"),
    "msmt17": (("msmt17",), "from its authors on request; layout: msmt17/MSMT17_V1"),
}


def _checked(group: str, name: str, path: Path, folder: Path) -> Finding:
    """A set that seems to be there, opened as its task opens it."""
    openers: dict[str, Callable[[], object]] = {"coco": lambda: _open_coco(path)}
    for reid in ("market1501", "dukemtmcreid", "msmt17"):
        openers[reid] = lambda reid=reid: _open_reid(folder, reid)  # type: ignore[misc]
    try:
        opened = openers[name]() if name in openers else ""
    except NaswildError as error:
        return Finding(group, name, "broken", str(error))
    return Finding(group, name, "ok", f"{path} {opened}".rstrip())


def _open_coco(path: Path) -> str:
    from detection.data import CocoData

    return f"{len(CocoData.open(path).classes)} classes"


def _open_reid(folder: Path, name: str) -> str:
    if installed_version("torchreid") is None:
        return "(not opened: the reid extra is missing)"
    from reid.datasets import load_reid_data

    data = load_reid_data(folder, name)
    return f"{data.title}, {len(data.train)} training images"
