"""Weights in one file that describes itself: a network is built from it alone, and nothing in it is ever executed.

The file is safetensors: named tensors and, under the key ``naswild`` of its header, :class:`WeightsMetadata` as JSON.
Loading is strict. Every tensor of the network must be in the file, and every tensor of the file must be used or
explained (a backbone has no use for the classifier); anything else is an error, not a silent mismatch.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from backbones.metadata import FORMAT, CellArchitecture, TimmArchitecture, WeightsMetadata
from backbones.pyramid import LoadReport
from nas.errors import NaswildError
from nas.files import atomic_write

log = logging.getLogger(__name__)

_KEY = "naswild"
_Shapes = dict[str, tuple[int, ...]]

__all__ = [
    "CellArchitecture",
    "LoadReport",
    "TimmArchitecture",
    "WeightsMetadata",
    "is_weights_file",
    "load_into",
    "load_network",
    "read_metadata",
    "read_tensors",
    "save_weights",
    "write_tensors",
]


def is_weights_file(source: Any) -> bool:
    """Whether ``source`` names a weights file (by its ending)."""
    return isinstance(source, str | os.PathLike) and os.fspath(source).endswith(".safetensors")


def save_weights(path: str | os.PathLike[str], network: nn.Module, metadata: WeightsMetadata) -> None:
    """Write the state of a classification network and ``metadata``, in one step: the file is whole or not there."""
    state = network.state_dict()
    _check_whole({name: tuple(tensor.shape) for name, tensor in state.items()}, metadata, path)
    write_tensors(path, state, metadata)


def write_tensors(path: str | os.PathLike[str], state: Mapping[str, Tensor], metadata: WeightsMetadata) -> None:
    """Write ``state`` and ``metadata``, in one step: the file is whole or not there."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    atomic_write(path, save(tensors, {_KEY: metadata.model_dump_json()}))


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """All tensors of the file by name."""
    with _opened(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)


def read_metadata(path: str | os.PathLike[str]) -> WeightsMetadata:
    """What the file says about itself. No tensor is read."""
    with _opened(path) as file:
        return _metadata(file, path)


def load_network(path: str | os.PathLike[str]) -> nn.Module:
    """The classification network of the file, in evaluation mode; a training-only auxiliary head is left out."""
    with _opened(path) as file:
        metadata, shapes = _metadata(file, path), _shapes(file)
    _check_whole(shapes, metadata, path)
    network = _build(metadata, path)
    load_into(network, path)
    return network.eval()


def load_into(module: Any, path: str | os.PathLike[str]) -> LoadReport:
    """Load the tensors of the file into ``module``: a backbone, or a classification network of the same architecture.

    Logs and returns a :class:`LoadReport`. Raises :class:`NaswildError` if a tensor is missing, has another shape, or
    stays unexplained; ``module`` is then unchanged.
    """
    with _opened(path) as file:
        shapes = _shapes(file)
        _check_whole(shapes, _metadata(file, path), path)
        own = module.state_dict()
        names = module.weight_names(shapes) if hasattr(module, "weight_names") else {key: key for key in own}
        left_out = _compare(own, names, shapes, module, path)
        state = {key: file.get_tensor(names[key]) for key in own}
    module.load_state_dict(state)
    report = LoadReport(os.fspath(path), len(state), left_out)
    log.info("%s", report)
    return report


def _compare(
    own: Mapping[str, Tensor],
    names: Mapping[str, str],
    shapes: _Shapes,
    module: Any,
    path: str | os.PathLike[str],
) -> dict[str, int]:
    """Why each tensor of the file that ``module`` does not take is left out; raises if that cannot be said."""
    missing = [key for key in own if names.get(key) not in shapes]
    other = [
        f"{names[key]} is {shapes[names[key]]} in the file and {tuple(tensor.shape)} in the network"
        for key, tensor in own.items()
        if key not in missing and shapes[names[key]] != tuple(tensor.shape)
    ]
    used = {names[key] for key in own if key not in missing}
    reasons = {key: _reason(module, key) for key in shapes if key not in used}
    unexpected = [key for key, reason in reasons.items() if reason is None]
    if missing or other or unexpected:
        problems = [
            f"{len(own) - len(missing) - len(other)} tensors match",
            _listed(len(missing), "missing", missing),
            _listed(len(other), "of another shape", other),
            _listed(len(unexpected), "unexpected", unexpected),
        ]
        raise NaswildError(f"{path} does not fit {type(module).__name__}: {'; '.join(p for p in problems if p)}")
    return dict(Counter(reason for reason in reasons.values() if reason is not None))


def _reason(module: Any, key: str) -> str | None:
    if hasattr(module, "leftover"):
        return module.leftover(key)
    return "auxiliary head" if key.startswith("auxiliary.") else None


def _listed(count: int, what: str, names: list[str]) -> str:
    return f"{count} {what} ({', '.join(names[:3])}{', ...' if count > 3 else ''})" if count else ""


def _check_whole(shapes: _Shapes, metadata: WeightsMetadata, path: str | os.PathLike[str]) -> None:
    """The tensors must be those of the architecture that the file names; found out without allocating any of them."""
    if metadata.head is not None:
        raise NaswildError(
            f"{path} holds a network trained for re-identification, no classifier; score it: naswild evaluate "
            f"--weights {path} --task reid --root FOLDER"
        )
    auxiliary = any(key.startswith("auxiliary.") for key in shapes)
    with torch.device("meta"):
        expected = _build(metadata, path, auxiliary).state_dict()
    problems = [f"{key} is missing" for key in expected if key not in shapes]
    problems += [f"{key} does not belong to it" for key in shapes if key not in expected]
    problems += [
        f"{key} should be {tuple(tensor.shape)}, not {shapes[key]}"
        for key, tensor in expected.items()
        if key in shapes and shapes[key] != tuple(tensor.shape)
    ]
    if problems:
        raise NaswildError(
            f"{path}: not the network that its header describes: {_listed(len(problems), 'faults', problems)}"
        )


def _build(metadata: WeightsMetadata, path: str | os.PathLike[str], auxiliary: bool = False) -> nn.Module:
    try:
        return metadata.architecture.build(metadata.num_classes, auxiliary)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise NaswildError(f"{path}: the network that its header describes cannot be built: {error}") from error


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise NaswildError(f"weights file {path} does not exist") from None
    except (SafetensorError, OSError) as error:
        raise NaswildError(f"{path} is not a complete safetensors file ({error}){_hint(path)}") from error


def _hint(path: Path) -> str:
    """Say what to do when the file is a pickle under another name."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError:
        return ""
    return '; it looks like a PyTorch checkpoint: use "naswild convert" first' if start in (b"PK", b"\x80\x02") else ""


def _shapes(file: Any) -> _Shapes:
    return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)


def _metadata(file: Any, path: str | os.PathLike[str]) -> WeightsMetadata:
    text = (file.metadata() or {}).get(_KEY)
    if text is None:
        raise NaswildError(
            f"{path} does not describe itself (no {_KEY!r} in its header): it was not written by naswild"
        )
    try:
        metadata = WeightsMetadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "header"
        raise NaswildError(f"{path}: bad header: {where}: {first['msg']}") from error
    except NaswildError as error:
        raise NaswildError(f"{path}: bad header: {error}") from error
    if metadata.format > FORMAT:
        raise NaswildError(f"{path} has format {metadata.format}, this naswild reads up to {FORMAT}: upgrade naswild")
    return metadata
