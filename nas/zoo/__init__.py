"""The zoo: published cells as data, each with its source, its paper and its published numbers.

One YAML file per cell in ``cells/``. A cell is here if it was read in a repository and can be built; left out are cells
that were seen only in a picture (the stages of Figure 3), exist only as numbers (P-DARTS searched on CIFAR-100 and on
ImageNet), or whose operations are not described well enough (BATS, GDAS with the fixed reduction cell).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nas.genotype import Genotype
from nas.zoo_files import names, read_cell

__all__ = ["ZooEntry", "entry", "genotype", "names"]


@dataclass(frozen=True)
class ZooEntry:
    """A published cell.

    ``published`` holds the source's own numbers (``c10_err`` in %, ``in_params_M`` in millions, ``in_madds_M``, ...);
    ``parameters_match`` says whether its parameter counts fit the network that this cell gives: where they do not, the
    numbers and the cell may belong to different runs. ``agreement`` counts the repositories that hold this very cell.
    ``remarks`` are footnotes wherever this cell is trained here beside its published numbers: on the ``network`` (it is
    not its paper's) or on its ``madds``.
    """

    name: str
    method: str
    paper: str
    searched_on: str
    genotype: Genotype
    sources: tuple[dict[str, Any], ...]
    agreement: int
    independence: str = ""
    status: str = ""
    published: dict[str, Any] = field(default_factory=dict)
    published_source: str = ""
    parameters_match: dict[str, bool] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        """Whether every published parameter count that can be checked fits this cell."""
        return bool(self.parameters_match) and all(self.parameters_match.values())


@cache
def entry(name: str) -> ZooEntry:
    """The entry ``name``; an unknown one raises ``UnknownName`` with near matches."""
    data = read_cell(name)
    data["genotype"] = Genotype.from_dict(data["genotype"])
    for key in ("sources", "variants", "notes"):
        data[key] = tuple(data.get(key, ()))
    return ZooEntry(**data)


def genotype(name: str) -> Genotype:
    """The genotype of the entry ``name``."""
    return entry(name).genotype
