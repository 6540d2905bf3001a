"""Footnotes on rows of published cells: what the zoo says about a cell that is trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from benchmarks.store import Backbone
from benchmarks.tables.table import Cell
from nas import zoo

_COLUMNS = {"network": "name", "madds": "paper_madds"}  # subject of a remark -> column whose cell carries its mark


def remarks(backbone: Backbone) -> dict[str, str]:
    """Column -> what the zoo remarks there on the cell of ``backbone``, whatever a suite calls it.

    A row of searched or random cells has several and no remarks.
    """
    if backbone.kind in ("searched", "random"):
        return {}
    for entry in _remarked():
        if entry.genotype.to_dict() == backbone.genotype:
            return {_COLUMNS[subject]: text for subject, text in entry.remarks.items()}
    return {}


def with_marks(cells: Mapping[str, Cell], backbone: Backbone, marks: Mapping[str, str]) -> dict[str, Cell]:
    """The cells of a row of ``backbone`` with the marks of its remarks; ``marks`` maps texts to marks."""
    marked = dict(cells)
    for column, text in remarks(backbone).items():
        if column in marked:
            marked[column] = replace(marked[column], marks=(*marked[column].marks, marks[text]))
    return marked


@cache
def _remarked() -> tuple[zoo.ZooEntry, ...]:
    return tuple(entry for entry in map(zoo.entry, zoo.names()) if entry.remarks)
