"""What identifies a number in a table: its task, the setting it was measured in, and the network it is about."""

from __future__ import annotations

import re
from typing import NamedTuple

from benchmarks.store import FORM, Result

# How a data set is written in a head; every other one is called by its own name.
_TITLES = {"market1501": "Market-1501", "dukemtmcreid": "DukeMTMC-reID", "msmt17": "MSMT17", "coco": "COCO"}
PRIMARY = {"classify": "top1", "detect": "AP", "reid": "mAP"}  # the primary metric of a task


class Setting(NamedTuple):
    """What two numbers must share to be comparable."""

    protocol: str
    version: int
    hash: str
    data: str
    data_version: str
    split: str

    @classmethod
    def of(cls, result: Result) -> Setting:
        """The setting that produced ``result``."""
        where = result.provenance
        return cls(
            result.protocol,
            result.protocol_version,
            result.protocol_hash,
            where.data,
            where.data_version,
            where.split,
        )

    @property
    def protocol_text(self) -> str:
        """``retrain-mini v1 [0a1b2c3d]``: name, version, the start of the hash."""
        return f"{self.protocol} v{self.version} [{self.hash[:8]}]"

    @property
    def data_text(self) -> str:
        """``digits 0a1b2c3d4e5f (test)``: name, content hash, split."""
        return f"{self.data} {self.data_version[:12]} ({self.split})"

    def __str__(self) -> str:
        return f"{self.protocol_text}, data {self.data_text}"


class Task(NamedTuple):
    """One task with its variant: what a column of a table, or a group of columns, is about."""

    kind: str
    name: str
    variant: tuple[tuple[str, int | str], ...] = ()

    @classmethod
    def of(cls, result: Result) -> Task:
        """The task that ``result`` is about."""
        return cls(result.kind, result.task, tuple(sorted(result.variant.items())))

    @property
    def title(self) -> str:
        """``Market-1501, parts 3``."""
        variant = (str(value) if key == FORM else f"{key} {value}" for key, value in self.variant)
        return ", ".join([data_set_title(self.name), *variant])

    def __str__(self) -> str:
        return " ".join([self.kind, self.name, *(f"{key}={value}" for key, value in self.variant)])


class BestSearch(NamedTuple):
    """Which search of a method was best on its proxy, and of how many."""

    search_seed: int
    searches: int


class Point(NamedTuple):
    """One concrete network: a backbone, and which search of it."""

    backbone: str
    search_seed: int | None

    @classmethod
    def of(cls, result: Result) -> Point:
        """The network that ``result`` is about."""
        return cls(result.backbone.name, result.backbone.search_seed)


def data_set_title(name: str) -> str:
    """The name of a data set as its authors write it: ``market1501`` is Market-1501."""
    return _TITLES.get(name, name)


def natural(value: object) -> list[tuple[int, str]]:
    """Sort key that reads digits as numbers: parts 3 before 12, ``random-2`` before ``random-10``."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in re.split(r"(\d+)", str(value))]
