"""Where a number was made: versions, commit, machine. Nothing here imports torch."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTIONS = (
    "naswild",
    "torch",
    "torchvision",
    "timm",
    "lightning-fabric",
    "numpy",
    "mmdet",
    "mmengine",
    "mmcv-lite",
    "hotcoco",
    "torchreid",
)


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of every distribution that decides numbers, as far as it is installed."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        installed = installed_version(name)
        if installed is not None:
            found[name] = installed
    return found


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


@cache
def git_state() -> str | None:
    """Commit of the source tree this runs from, with "+dirty" if it has changes; None outside a git checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@cache
def machine() -> str:
    """Describe processor, cores and GPUs of this machine."""
    cores = len(processors())
    return ", ".join([platform.system(), _processor_name(), f"{cores} cores", *graphics_cards()])


def processors() -> list[int]:
    """The CPU cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def graphics_cards() -> list[str]:
    """Names of the NVIDIA GPUs that the driver lists."""
    names = []
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = dict(line.split(":", 1) for line in information.read_text().splitlines() if ":" in line)
        names.append(lines.get("Model", "NVIDIA GPU").strip())
    return names


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
