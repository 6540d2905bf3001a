"""Builds the distribution: setuptools' build backend (PEP 517, PEP 660), and ``naswild_mmcv.pth`` in every wheel.

setuptools puts a ``.pth`` file into neither a wheel nor an editable one. This one holds the source of
``backbones/mmcv_finder.py``, so that it works, or at least does no harm, whatever has become of the package.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (the hooks that stay as they are)

PTH = "naswild_mmcv.pth"
FINDER = Path(__file__).parents[1] / "mmcv_finder.py"


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build the wheel and return its file name (PEP 517)."""
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    add_file(Path(wheel_directory, name), PTH, startup_line().encode())
    return name


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """Build the wheel of an editable installation and return its file name (PEP 660)."""
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    add_file(Path(wheel_directory, name), PTH, startup_line().encode())
    return name


def startup_line() -> str:
    """Return the line that Python executes when it starts: a ``.pth`` file is read line by line (see ``site``)."""
    source = FINDER.read_text(encoding="utf-8") + "\ninstall()\n"
    return f"import sys; exec({source!a}, {{'__name__': 'naswild_mmcv'}})\n"


def add_file(wheel: Path, name: str, content: bytes) -> None:
    """Add a file to a built wheel and to its RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    entry = f"{name},sha256={digest},{len(content)}\n"
    whole = wheel.with_suffix(".part")
    with ZipFile(wheel) as before, ZipFile(whole, "w", ZIP_DEFLATED) as after:
        after.writestr(name, content)
        for member in before.infolist():
            record = member.filename.endswith(".dist-info/RECORD")
            after.writestr(member, (entry.encode() if record else b"") + before.read(member))
    whole.replace(wheel)
