"""Checkpoints that survive: written atomically, the last ones kept, a damaged newest one recognised."""

from __future__ import annotations

import glob
import io
import logging
import os
import pickle
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from nas.errors import NaswildError
from nas.files import atomic_write

log = logging.getLogger(__name__)

DAMAGED = ".damaged"
# What torch raises for a file that is cut short, is no archive, or holds what `weights_only` refuses.
_DAMAGED = (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError)


def save_checkpoint(path: str | os.PathLike[str], state: dict[str, Any], keep: int = 2) -> None:
    """Write ``state`` (tensors, numbers, strings, lists, dicts) to ``path`` and keep the last ``keep`` checkpoints.

    The file before becomes ``<path>.prev``, the one before that ``<path>.prev2`` and so on. Raises
    :class:`NaswildError` if the disk refuses; then every older checkpoint is where it was.
    """
    path = Path(path)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    atomic_write(path, buffer.getvalue(), before_replacing=lambda: _rotate(path, keep))


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The newest whole checkpoint at ``path``, or None if there never was one. Unpickles nothing but plain values.

    A damaged newest file falls back to the one before, with a message; with all damaged it raises NaswildError.
    """
    candidates = _kept(Path(path))
    for number, candidate in enumerate(candidates):
        try:
            state = torch.load(candidate, map_location="cpu", weights_only=True)
        except _DAMAGED as error:
            log.warning("checkpoint %s is damaged (%s); trying the one before", candidate, str(error).split("\n")[0])
            continue
        _set_aside(candidates[:number])
        return state
    if candidates:
        names = " and ".join(map(str, candidates))
        raise NaswildError(f"no readable checkpoint: {names} damaged; delete them to start this job again")
    return None


def _set_aside(damaged: Sequence[Path]) -> None:
    """Rename damaged files to ``*.damaged``, or the next save would keep them in the place of a whole one."""
    for path in damaged:
        with suppress(FileNotFoundError):  # another process of the same run was quicker
            path.replace(path.with_name(path.name + DAMAGED))


def remove_checkpoint(path: str | os.PathLike[str]) -> None:
    """Delete a checkpoint and those before it, damaged ones too, once the result they led to is stored."""
    path = Path(path)
    for file in (*_kept(path), *path.parent.glob(f"{glob.escape(path.name)}*{DAMAGED}")):
        file.unlink()


def _name(path: Path, age: int) -> Path:
    """The file of the checkpoint ``age`` saves ago: path, path.prev, path.prev2, ..."""
    return path.with_name(path.name + ("", ".prev", f".prev{age}")[min(age, 2)])


def _kept(path: Path) -> list[Path]:
    """The checkpoints on disk, newest first."""
    older = [p for p in path.parent.glob(f"{glob.escape(path.name)}.prev*") if p.suffix != DAMAGED]
    return sorted((p for p in (path, *older) if p.exists()), key=lambda p: (len(p.name), p.name))


def _rotate(path: Path, keep: int) -> None:
    """Make every kept checkpoint one save older, so that ``path`` can be replaced.

    The newest gets its second name beside the first: at no moment is there none under a name that is read.
    """
    if not path.exists():
        return
    for surplus in _kept(path)[max(keep - 1, 1) :]:
        surplus.unlink()
    for age in range(keep - 2, 0, -1):
        if _name(path, age).exists():
            _name(path, age).replace(_name(path, age + 1))
    if keep > 1:
        _link(path, _name(path, 1))


def _link(path: Path, other: Path) -> None:
    """Give ``path`` the further name ``other``, whatever had that name before."""
    link = path.with_name(path.name + ".link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        try:
            shutil.copyfile(path, link)
        except OSError:
            link.unlink(missing_ok=True)
            raise
    link.replace(other)
