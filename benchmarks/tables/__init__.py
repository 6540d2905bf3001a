"""The comparison tables: pure functions of results and of the published numbers.

A table is a :class:`Table`. :mod:`benchmarks.tables.build` makes all of them from results, :mod:`benchmarks.render`
prints and writes them.
"""

from __future__ import annotations

from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table

__all__ = ["Block", "Cell", "Column", "Note", "Row", "Table"]
