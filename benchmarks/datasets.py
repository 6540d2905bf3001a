"""The data of a suite: made by us under the run directory, a classification proxy, or a copy that the user has.

A maker is a function ``maker(out, *, seed, **options)`` that fills the folder ``out`` and depends on nothing else.
One's own is added by :func:`register_maker`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.protocol import content_hash
from benchmarks.suite import DataEntry
from benchmarks.tasks.task import DataSource
from nas.errors import unknown

Maker = Callable[..., Any]
MISSING = "missing"  # version of data that is not there: it can be planned with, not run


@dataclass(frozen=True)
class _Maker:
    home: str | Maker  # "module:function", imported when it is needed
    version: int  # raised when the same seed and options give other data
    seconds: float


_MAKERS: dict[str, _Maker] = {
    "digits-coco": _Maker("detection.compose:make_digits_coco", version=2, seconds=10.0),
    "reid": _Maker("reid.draw:make_reid_sets", version=1, seconds=10.0),
}


def register_maker(name: str, maker: Maker, *, version: int, seconds: float = 10.0) -> None:
    """Register a data set as ``{made: name}``; ``version`` tells results on older data apart."""
    _MAKERS[name] = _Maker(maker, version, seconds)


def maker_names() -> list[str]:
    """Names of all makers."""
    return sorted(_MAKERS)


def get_maker(name: str) -> Maker:
    """The function behind a maker; raises ``UnknownName`` with near matches."""
    home = _find(name).home
    if callable(home):
        return home
    module, _, function = home.partition(":")
    return getattr(import_module(module), function)


def maker_version(name: str) -> int:
    """Version of the data that a maker makes."""
    return _find(name).version


def maker_seconds(name: str) -> float:
    """Rough time that the maker takes."""
    return _find(name).seconds


def _find(name: str) -> _Maker:
    if name not in _MAKERS:
        raise unknown("data maker", name, _MAKERS)
    return _MAKERS[name]


def data_source(name: str, entry: DataEntry, run_dir: Path) -> DataSource:
    """Where the data of a suite is, or will be, and its version: :data:`MISSING` where the user's copy is not there.

    Raises:
        UnknownName: no such maker.
    """
    if entry.made is not None:
        identity = {"made": entry.made, "version": maker_version(entry.made), "seed": entry.seed, **entry.options}
        version = content_hash(identity)
        root = run_dir / "data" / f"{name}-{version}"
        return DataSource(name, version, root=root, made=True, options=entry.options)
    if entry.path is None:
        identity = {"proxy": entry.proxy, **entry.options}
        return DataSource(name, content_hash(identity), proxy=entry.proxy, options=entry.options)
    if not entry.path.exists():
        return DataSource(name, MISSING, root=entry.path, proxy=entry.proxy, options=entry.options)
    identity = {"proxy": entry.proxy, "content": fingerprint(entry.path), **entry.options}
    return DataSource(name, content_hash(identity), root=entry.path, proxy=entry.proxy, options=entry.options)


def explain_missing(source: DataSource) -> str:
    """What to do about data whose version is :data:`MISSING`."""
    unset = [name for name in re.findall(r"\$\{?(\w+)", str(source.root)) if name not in os.environ]
    if unset:
        return f"data {source.name!r}: {unset[0]} is not set; export {unset[0]}=FOLDER so that {source.root} is there"
    return f"data {source.name!r}: {source.root} does not exist; put the data there or change its root"


def fingerprint(root: Path) -> str:
    """A quick hash of a folder: names two levels deep and the sizes of the files there; reads no content.

    It notices another data set or a changed annotation file within a second; the ``data_version`` of a result may be
    a task's own hash of the whole content.
    """
    if root.is_file():
        return f"{root.name}:{root.stat().st_size}"
    digest = hashlib.sha256()
    for first in sorted(os.scandir(root), key=lambda entry: entry.name):
        digest.update(_line(first))
        if first.is_dir():
            for second in sorted(os.scandir(first.path), key=lambda entry: entry.name):
                digest.update(_line(second))
    return digest.hexdigest()[:12]


def _line(entry: os.DirEntry[str]) -> bytes:
    return f"{entry.name}:{entry.stat().st_size if entry.is_file() else ''}\n".encode()
