"""Quick kernels for CPUs, compiled on this machine the first time they are asked for; without a compiler, PyTorch's.

:func:`kernels` gives the library, or None where there is none; :func:`status` says in words which it is and why. The
environment variable ``NASWILD_NATIVE`` set to 0 turns them off.

A library is kept in a folder that only its owner can enter (:mod:`nas.native.store`). Its name holds the hash of what
it was made from (source, compiler, processor) and the hash of its content, which is compared before it is loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from nas.errors import NaswildError
from nas.native.store import keep, kept, private_folder

SOURCE = Path(__file__).with_name("separable.cpp")
FLAGS = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread")
COMPILERS = ("g++", "clang++")
# A compiler that takes longer than this hangs.
SECONDS = 300

_log = logging.getLogger(__name__)


class Native(NamedTuple):
    """The library, or None, and why."""

    library: ctypes.CDLL | None
    reason: str


def kernels() -> ctypes.CDLL | None:
    """The compiled kernels; None where they are turned off or cannot be made, which is logged once."""
    return _load().library


def status() -> str:
    """One line for people: what depthwise-separable convolutions of a search run on."""
    return _load().reason


@cache
def _load() -> Native:
    if os.environ.get("NASWILD_NATIVE") == "0":
        return Native(None, "PyTorch (NASWILD_NATIVE is 0)")
    if os.name != "posix":
        return Native(None, "PyTorch (the compiled kernels are for Linux and macOS)")
    try:
        return _library(_compiler())
    except (NaswildError, OSError, subprocess.SubprocessError) as error:
        problem = (getattr(error, "stderr", None) or str(error)).strip()
        _log.warning("no compiled kernels, PyTorch's operations are used, which are slower: %s", problem)
        return Native(None, f"PyTorch ({problem.splitlines()[0]}; a search is slower)")


def _library(compiler: Sequence[str]) -> Native:
    """The library of this source, compiler and processor: the one kept, if it can be loaded, else a new one.

    Raises:
        NaswildError: no folder to keep it in.
        OSError: a new library cannot be written or loaded.
        SubprocessError: the compiler fails.
    """
    folder, name = private_folder(), f"separable-{_digest(compiler)}"
    path = kept(folder, name)
    if path is not None:
        try:
            return Native(ctypes.CDLL(str(path)), f"native kernels ({path})")
        except OSError as error:
            _log.warning("the compiled kernels are built again: %s", error)
            path.unlink(missing_ok=True)
    path = keep(folder, name, _compile(compiler))
    return Native(ctypes.CDLL(str(path)), f"native kernels ({path})")


def _compiler() -> list[str]:
    """The compiler as a command: $CXX, which may have several words ("ccache g++"), or the first that is found."""
    wanted = os.environ.get("CXX", "").strip()
    try:
        commands = [shlex.split(wanted)] if wanted else [[name] for name in COMPILERS]
    except ValueError as error:
        raise NaswildError(f"CXX={wanted} cannot be read as a command: {error}") from error
    for program, *words in commands:
        found = shutil.which(program)
        if found is not None:
            return [found, *words]
    raise NaswildError(f"no C++ compiler: looked for {f'CXX={wanted}' if wanted else ', '.join(COMPILERS)}")


def _digest(compiler: Sequence[str]) -> str:
    """Changes with the source, the flags, the compiler's version and the processor that "native" means."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout
    sources = [path.read_text(encoding="utf-8") for path in sorted(SOURCE.parent.glob("*.[ch]*"))]
    parts = [*sources, *FLAGS, *compiler, version, _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """Name and abilities of the processor, as far as the system tells."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return f"{platform.machine()} {platform.processor()}"
    lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = ("model name", "flags", "Features")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))


def _compile(compiler: Sequence[str]) -> bytes:
    """The library that ``compiler`` makes of the source."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.so"
        command = [*compiler, *FLAGS, str(SOURCE), "-o", str(made)]
        subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        return made.read_bytes()
