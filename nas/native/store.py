"""Compiled libraries in a folder that only its owner can write to; the name of a file holds the hash of its content."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nas.errors import NaswildError
from nas.files import atomic_write

_log = logging.getLogger(__name__)


def private_folder() -> Path:
    """A folder that only this user can enter: in the user's cache, or where there is none among the temporary files.

    Raises:
        NaswildError: neither can be made, or what is there is open to others.
    """
    problems = []
    for folder in _candidates():
        try:
            folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
            _require_private(folder)
        except (OSError, NaswildError) as error:
            problems.append(str(error))
        else:
            return folder
    raise NaswildError(f"no folder for compiled libraries: {'; '.join(problems)}")


def _candidates() -> Iterator[Path]:
    """``$XDG_CACHE_HOME/naswild/native``, ``~/.cache/naswild/native``, ``/tmp/naswild-native-UID``."""
    given = Path(os.environ.get("XDG_CACHE_HOME") or "")
    if given.is_absolute():  # others are to be ignored, by the specification
        yield given / "naswild" / "native"
    else:
        try:
            yield Path.home() / ".cache" / "naswild" / "native"
        except RuntimeError:  # a user without a home directory, as in many containers
            _log.info("no home directory: compiled libraries are kept among the temporary files")
    yield Path(tempfile.gettempdir()) / f"naswild-native-{os.getuid()}"


def _require_private(folder: Path) -> None:
    """Raise :class:`NaswildError` unless ``folder`` is this user's, with no rights for others, and no link."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise NaswildError(f"{folder} is open to others or another user's: delete it")


def kept(folder: Path, name: str) -> Path | None:
    """The file that :func:`keep` has left under ``name``, if its content is still the same; others are deleted."""
    for path in sorted(folder.glob(f"{name}-*.so")):
        if path.is_file() and path.name == _file_name(name, path.read_bytes()):
            return path
        _log.warning("%s is damaged: it is deleted and built again", path)
        path.unlink()
    return None


def keep(folder: Path, name: str, content: bytes) -> Path:
    """Write ``content``, whole or not at all, to a file that is named by ``name`` and its own hash."""
    path = folder / _file_name(name, content)
    atomic_write(path, content)
    return path


def _file_name(name: str, content: bytes) -> str:
    return f"{name}-{hashlib.sha256(content).hexdigest()[:32]}.so"
