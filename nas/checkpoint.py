"""Checkpoints that survive: written atomically, the one before kept, a damaged newest one recognised."""

from __future__ import annotations

import io
import logging
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from nas.errors import NaswildError
from nas.files import atomic_write

log = logging.getLogger(__name__)

# What torch raises for a file that is cut short, is no archive, or holds what `weights_only` refuses.
_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError)


def save_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, lists, dicts) to ``path``; the file before becomes ``<path>.prev``.

    Raises :class:`NaswildError` if the disk refuses; then the older checkpoint is untouched.
    """
    path = Path(path)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    if path.exists():
        _keep(path)
    atomic_write(path, buffer.getvalue())


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The newest whole checkpoint at ``path``, or None if there never was one. Unpickles nothing but plain values.

    A damaged newest file falls back to the one before, with a message; with both damaged it raises NaswildError.
    """
    path = Path(path)
    candidates = [p for p in (path, _previous(path)) if p.exists()]
    for candidate in candidates:
        try:
            return torch.load(candidate, map_location="cpu", weights_only=True)
        except _DAMAGED as error:
            log.warning("checkpoint %s is damaged (%s); trying the one before", candidate, str(error).split("\n")[0])
    if candidates:
        names = " and ".join(map(str, candidates))
        raise NaswildError(f"no readable checkpoint: {names} damaged; delete them to start this job again")
    return None


def remove_checkpoint(path: str | os.PathLike[str]) -> None:
    """Delete a checkpoint and the one before it, once the result they led to is stored."""
    path = Path(path)
    path.unlink(missing_ok=True)
    _previous(path).unlink(missing_ok=True)


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".prev")


def _keep(path: Path) -> None:
    """Give the current file its second name without a moment in which neither name holds a whole checkpoint."""
    previous = _previous(path)
    link = path.with_name(path.name + ".link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        try:
            shutil.copyfile(path, link)
        except OSError as error:
            link.unlink(missing_ok=True)
            raise NaswildError(f"cannot write {link}: {error.strerror or error}") from error
    link.replace(previous)
