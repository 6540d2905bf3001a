"""Keep a user's folder ``detection/``, ``nas/``, ... from being imported in the place of our package of that name.

Only the standard library is used here: what is foreign may be any other package of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

NAMES = ("nas", "backbones", "detection", "reid", "benchmarks")
ROOT = Path(__file__).resolve().parents[1]  # the folder that holds the packages


class ForeignPackage(ImportError):
    """Another package has the name of one of ours and would be imported instead."""


def append_to_path(folder: Path) -> None:
    """Let modules in ``folder`` be imported, after everything else.

    The packages' own folder goes before it. An editable install finds them only after the whole path was searched.
    """
    for place in (str(ROOT), str(folder)):
        if place not in sys.path:
            sys.path.append(place)


@contextmanager
def in_own_folder() -> Iterator[None]:
    """Work in the folder of the packages, which a Python process that is started with ``-c`` searches first of all."""
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        yield
    finally:
        os.chdir(here)


def require_own_packages() -> None:
    """Raise :class:`ForeignPackage` if any of :data:`NAMES` is, or would be, imported from elsewhere."""
    for name in NAMES:
        place = _place(name)
        if place != ROOT / name:
            raise ForeignPackage(
                f"`import {name}` finds {place or 'nothing'}, not naswild's package {ROOT / name}: rename that folder, "
                f"run in another one, or take its parent off PYTHONPATH"
            )


def _place(name: str) -> Path | None:
    """The folder that ``import name`` reads."""
    spec = find_spec(name)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0] if folders else str(spec.origin)).resolve()
