"""Read the network in a third-party checkpoint, wherever it is in the file, without executing any code of the file.

A state dict may be bare or under ``state_dict``, ``model_state``, ``net`` or ``ema``, its names may begin with
``module.``, ``_orig_mod.`` or ``model.``, and optimisers and counters lie beside it. So no name is looked for: a table
with ``cells.N.*`` and ``classifier.weight`` behind a common prefix holds a network of the DARTS family.
"""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nas.errors import NaswildError, unknown

# What training scripts store beside the weights and what is safe to rebuild: numbers of NumPy, parsed arguments.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
]
_numpy_scalar = np.float64(0).__reduce__()[0]
_HARMLESS += [(_numpy_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
# What the restricted unpickler raises when bytes are missing or flipped.
_DAMAGED = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, ArithmeticError, MemoryError, struct.error),
)
_DEPTH = 4  # tables in tables in tables: deeper than any training script goes
_WRAPPERS = r"(?<![^.])(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
_COUNTERS = ("total_ops", "total_params")  # thop registers these buffers in every layer


@dataclass(frozen=True)
class Checkpoint:
    """A network as a file holds it.

    Attributes:
        tensors: The state dict without prefixes and counters; floating-point tensors in float32.
        table: Where in the file it was, e.g. ``"state_dict_ema"``; empty for the top level.
        left_out: Tensors of that table that belong to no network, by reason.
    """

    tensors: dict[str, Tensor]
    table: str
    left_out: dict[str, int] = field(default_factory=dict)


def read_checkpoint(path: str | os.PathLike[str], table: str | None = None) -> Checkpoint:
    """The network of a file of ``torch.save`` or safetensors.

    Of several networks in one file ``table`` names the one; without it the averaged one (``ema``) is taken, as timm
    does. Raises :class:`NaswildError` for a file that is damaged or would execute something, that holds no network of
    the DARTS family, or several that only the caller can tell apart.
    """
    content = _load(path)
    found = {name: (entries, prefix) for name, entries, prefix in _networks(content)}
    if not found:
        raise NaswildError(
            f"{path} is not a network of the DARTS family: expected stem.0 or stem0.0, cells.N._ops and classifier, "
            f"found {_first_names(content)}"
        )
    name = _choose(list(found), table, path)
    return _cleaned(*found[name], name, path)


def _networks(content: Any, where: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Every table in ``content`` that holds a network: its place, its entries and the prefix of their names."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    entries = {key: value for key, value in content.items() if isinstance(key, str)}
    for prefix in {key[: match.start(1)] for key in entries if (match := re.search(r"(?<![^.])(cells\.\d+\.)", key))}:
        if isinstance(entries.get(f"{prefix}classifier.weight"), Tensor):
            yield ".".join(filter(None, (where, prefix.rstrip(".")))), entries, prefix
    for key, value in entries.items():
        yield from _networks(value, f"{where}.{key}".lstrip("."), depth + 1)


def _choose(names: list[str], table: str | None, path: str | os.PathLike[str]) -> str:
    if table is not None:
        if table not in names:
            raise unknown(f"network in {path}:", table, names)
        return table
    averaged = [name for name in names if re.search(r"(?<![a-z])ema(?![a-z])|averag", name.lower())]
    candidates = averaged or names
    if len(candidates) > 1:
        listed = ", ".join(repr(name) for name in candidates)
        raise NaswildError(f"{path} holds several networks ({listed}): name one as the table to read")
    return candidates[0]


def _cleaned(entries: Mapping[str, Any], prefix: str, name: str, path: str | os.PathLike[str]) -> Checkpoint:
    """The tensors behind ``prefix`` under their own names; buffers of profilers and averages are left out."""
    tensors, left_out = {}, Counter[str]()
    for key, value in entries.items():
        if not key.startswith(prefix):
            left_out["beside the network"] += isinstance(value, Tensor)
        elif key.split(".")[-1] in _COUNTERS:
            left_out["counters of a profiler"] += 1
        elif isinstance(value, Tensor):
            plain = re.sub(_WRAPPERS, "", key.removeprefix(prefix))
            tensors[plain] = value.float() if value.is_floating_point() else value
        elif prefix or key.startswith(("stem", "cells.", "classifier.", "auxiliary_head.")):
            raise NaswildError(f"{path}: {key} is a {type(value).__name__} where a tensor should be")
    return Checkpoint(tensors, name, {reason: count for reason, count in left_out.items() if count})


def _first_names(content: Any) -> str:
    names = [str(key) for key in content] if isinstance(content, Mapping) else []
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else f"a {type(content).__name__}"


def _load(path: str | os.PathLike[str]) -> Any:
    """What the file holds: plain values and tensors."""
    if os.fspath(path).endswith(".safetensors"):
        return _load_safetensors(path)
    try:
        data = Path(path).read_bytes()
        # Only what is not allowed yet: leaving the block takes away what it names, for earlier callers too.
        allowed = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([kind for kind in _HARMLESS if kind not in allowed]), _quiet():
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NaswildError(f"checkpoint {path} does not exist") from None
    except pickle.UnpicklingError as error:
        raise NaswildError(f"{path} is refused and nothing of it was run: {_objection(error)}") from error
    except _DAMAGED as error:
        raise NaswildError(f"{path} is not a complete PyTorch checkpoint: {_first_sentence(error)}") from error


def _load_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            if "naswild" in (file.metadata() or {}):
                raise NaswildError(f"{path} is a weights file already: use it as it is")
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise NaswildError(f"checkpoint {path} does not exist") from None
    except (SafetensorError, OSError) as error:
        raise NaswildError(f"{path} is not a complete safetensors file: {_first_sentence(error)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's remark on the pickle protocol: what cannot be read is an error here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
        yield


def _objection(error: Exception) -> str:
    """What the restricted unpickler refused. Its own text advises to load the file without restriction."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return (
        f"it names {named[1]}, where only tensors and plain values may be"
        if named
        else "damaged, or more than tensors and plain values"
    )


def _first_sentence(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
