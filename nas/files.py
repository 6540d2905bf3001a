"""Writing files so that a crash, a kill or a full disk never leaves half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from nas.errors import NaswildError


def atomic_write(
    path: str | os.PathLike[str], data: bytes, *, before_replacing: Callable[[], object] | None = None
) -> None:
    """Replace ``path`` by ``data`` in one step: readers see the old file or the new one, never a part.

    ``before_replacing`` is called when the new file is whole on the disk and the old one still in its place.

    Raises :class:`NaswildError` if it cannot be written (a full disk, say); what was there before stays whole.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        if before_replacing is not None:
            before_replacing()
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise NaswildError(f"cannot write {path}: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
