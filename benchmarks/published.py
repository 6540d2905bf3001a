"""The numbers that the P-DARTS paper prints, read from ``facts/published.yaml`` with every digit and source kept.

A number is kept as the text that is printed (``"3.00"``, ``"~5"``); :func:`number` gives its value. Nothing here was
measured by this project.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from nas.errors import unknown

# libyaml where PyYAML was built with it: reading takes a tenth of the time.
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
TABLE_NAMES = ("table1", "table2", "table3", "table4", "table5")


@dataclass(frozen=True)
class Footnote:
    """A remark on some cells: the paper's own (``mark`` "†" or "‡") or ours on a misprint (``mark`` "").

    ``places`` pairs the start of a row's leading texts with the columns meant; an empty start means whole columns.
    """

    mark: str
    text: str
    places: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

    def touches(self, texts: list[str | None], column: str) -> bool:
        """Whether the remark belongs to the cell of ``column`` in the row with these texts."""
        return any(
            start and column in columns and all((text or "").startswith(word) for word, text in zip(start, texts))
            for start, columns in self.places
        )

    def heads(self, column: str) -> bool:
        """Whether the remark belongs to the head of ``column``."""
        return any(not start and column in columns for start, columns in self.places)


@dataclass(frozen=True)
class PublishedTable:
    """One table of the paper; a row maps each column to its text (None: a dash)."""

    name: str
    source: str
    caption: str
    units: Mapping[str, str]
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str | None], ...]
    footnotes: tuple[Footnote, ...]
    manual: frozenset[str]  # backbones that were designed by hand, where the table has no column for it

    def by_hand(self, row: Mapping[str, str | None]) -> bool:
        """Whether the network of this row was designed by hand rather than searched."""
        return row.get("method") == "manual" or row.get("backbone") in self.manual


def number(text: str | None) -> float | None:
    """The value of a printed number: ``"~5"`` is 5.0; None for a dash or for text that is not a number."""
    if text is None:
        return None
    try:
        return float(text.lstrip("~"))
    except ValueError:
        return None


@cache
def published_table(name: str) -> PublishedTable:
    """Table 1 to 5 of the paper by its name (``"table4"``); raises ``UnknownName`` for any other."""
    if name not in TABLE_NAMES:
        raise unknown("published table", name, TABLE_NAMES)
    raw = _facts()[name]
    return PublishedTable(
        name=name,
        source=raw["source"],
        caption=raw["caption"],
        units=raw["units"],
        columns=tuple(raw["columns"]),
        rows=tuple(dict(zip(raw["columns"], (None if t == "null" else t for t in row))) for row in raw["rows"]),
        footnotes=tuple(_footnotes(name, raw)),
        manual=frozenset(raw.get("manual", ())),
    )


def ablations() -> dict[str, dict[str, Any]]:
    """The ablations of section 5.2 by name, numbers as numbers; each entry has a ``source``."""
    return yaml.safe_load(_text())["ablations"]


def inconsistencies() -> list[dict[str, Any]]:
    """What does not agree inside the paper or between it and the official code: ``id``, ``what``, maybe ``marks``."""
    return _facts()["inconsistencies"]


def paper() -> dict[str, str]:
    """Title, authors, venue and short name of the paper."""
    return _facts()["paper"]


def _text() -> str:
    return files("benchmarks").joinpath("facts/published.yaml").read_text(encoding="utf-8")


@cache
def _facts() -> dict[str, Any]:
    # The base loader leaves scalars as text: 3.00 must not become 3.0.
    return yaml.load(_text(), Loader=_Loader)


def _footnotes(name: str, raw: Mapping[str, Any]) -> Iterator[Footnote]:
    """The paper's own daggers first, then the inconsistencies that touch this table."""
    for dagger in raw.get("daggers", ()):
        yield Footnote(dagger["mark"], raw["notes"][dagger["note"]], (_place(dagger),))
    for entry in inconsistencies():
        places = tuple(_place(place) for place in entry.get("marks", ()) if place["table"] == name)
        if places:
            yield Footnote("", entry["what"], places)


def _place(place: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(place["row"]), tuple(place["columns"])
