"""Quick kernels for CPUs, compiled on this machine the first time they are asked for; without a compiler, PyTorch's.

:func:`kernels` gives the library, or None where there is none; :func:`status` says in words which it is and why. The
environment variable ``NASWILD_NATIVE`` set to 0 turns them off. They are kept in ``$XDG_CACHE_HOME/naswild``, named by
what they were made from: source, compiler and processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
    compiler = _compiler()
    if compiler is None:
        return Native(None, f"PyTorch (no C++ compiler: looked for $CXX, {', '.join(COMPILERS)}; a search is slower)")
    path = _cache() / f"separable-{_digest(compiler)}.so"
    if not path.exists():
        problem = _compile(compiler, path)
        if problem:
            _log.warning("native kernels were not built, PyTorch's are used, which are slower: %s", problem)
            return Native(None, f"PyTorch ({compiler} failed: {problem.splitlines()[0]})")
    return Native(ctypes.CDLL(str(path)), f"native kernels ({path})")


def _compiler() -> str | None:
    names = (os.environ["CXX"],) if os.environ.get("CXX") else COMPILERS
    return next((found for name in names if (found := shutil.which(name))), None)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "naswild"


def _digest(compiler: str) -> str:
    """Changes with the source, the flags, the compiler's version and the processor that "native" stands for."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    sources = [path.read_text(encoding="utf-8") for path in sorted(SOURCE.parent.glob("*.[ch]*"))]
    parts = [*sources, *FLAGS, version, _processor()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    """Name and abilities of the processor, as far as the system tells."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return f"{platform.machine()} {platform.processor()}"
    lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
    wanted = ("model name", "flags", "Features")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))


def _compile(compiler: str, path: Path) -> str | None:
    """Make the library at ``path``, whole or not at all; returns the compiler's complaint if it has one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(made)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                return done.stderr.strip() or f"exit status {done.returncode}"
            made.replace(path)  # two processes may both have made it: one of two equal files stays
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None
