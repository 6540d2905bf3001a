"""The files of the zoo, one published cell in each: their names and what they hold, not yet parsed as genotypes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from nas.errors import unknown

_CELLS = files("nas") / "zoo" / "cells"
# libyaml where PyYAML was built with it: reading all cells takes a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def names() -> tuple[str, ...]:
    """The names of all cells, sorted."""
    return tuple(sorted(f.name.removesuffix(".yaml") for f in _CELLS.iterdir() if f.name.endswith(".yaml")))


def read_cell(name: str) -> dict[str, Any]:
    """Read the file of the cell ``name``; an unknown one raises ``UnknownName`` with near matches."""
    if name not in names():
        raise unknown("genotype", name, names())
    return yaml.load((_CELLS / f"{name}.yaml").read_text(encoding="utf-8"), Loader=_Loader)
