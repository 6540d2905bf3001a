"""The genotype: what a search finds and a network is built from, as an immutable value.

A genotype describes two cells, normal and reduction. A cell is a small directed acyclic graph: inputs 0 and 1 are the
outputs of the cells before it (``c_{k-2}`` and ``c_{k-1}``), every further node is the sum of operations applied to
earlier ones, and the output concatenates some of the nodes (P-DARTS, section 4.1).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nas.classic_text import parse_classic
from nas.errors import NaswildError, unknown

# Every operation that a discrete cell may use: the DARTS space ("none" in SNAS cells only) and what other spaces add.
DISCRETE_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_7x1_1x7",
    "conv_3x1_1x3",
    "conv_3x3",
    "max_pool_5x5",
    "sep_conv_3x3_1",
)
INPUTS = 2  # c_{k-2} and c_{k-1}


class GenotypeError(NaswildError):
    """A genotype that describes no cell; the message names the cell, the node and the edge."""


class Edge(NamedTuple):
    """One operation of a node, applied to the output of ``input`` (0: c_{k-2}, 1: c_{k-1}, 2 and up: nodes)."""

    operation: str
    input: int


@dataclass(frozen=True)
class CellSpec:
    """One cell: the edges of each node, in order, and the states that its output concatenates."""

    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]

    @property
    def skips(self) -> int:
        """Number of skip-connects, the quantity that architecture refinement restricts (section 4.3.2)."""
        return self.count("skip_connect")

    def count(self, operation: str) -> int:
        """How many edges carry ``operation``."""
        return sum(edge.operation == operation for node in self.nodes for edge in node)

    @property
    def longest_path(self) -> int:
        """Edges on the longest path from an input to a node: the depth of the cell."""
        return max(self._depths().values())

    @property
    def levels(self) -> dict[int, int]:
        """Connection level of each state: its longest distance from the inputs, at level 0 (section 5.2.1)."""
        return self._depths()

    def _depths(self) -> dict[int, int]:
        depth = {0: 0, 1: 0}
        for index, node in enumerate(self.nodes, start=INPUTS):
            depth[index] = 1 + max(depth[edge.input] for edge in node)
        return depth

    def validate(self, cell: str) -> CellSpec:
        """Return the cell itself, or raise :class:`GenotypeError` naming ``cell``, the node and the edge."""
        if not self.nodes:
            raise GenotypeError(f"{cell} cell: it has no nodes")
        for index, node in enumerate(self.nodes, start=INPUTS):
            if not node:
                raise GenotypeError(f"{cell} cell, node {index}: it has no inputs")
            for position, edge in enumerate(node):
                _check_edge(edge, f"{cell} cell, node {index}, edge {position}", index)
        _check_concat(self.concat, cell, last=INPUTS + len(self.nodes) - 1)
        return self


def _check_edge(edge: Edge, where: str, node: int) -> None:
    if edge.operation not in DISCRETE_OPERATIONS:
        raise GenotypeError(f"{where}: {unknown('operation', str(edge.operation), DISCRETE_OPERATIONS)}")
    if not isinstance(edge.input, int) or isinstance(edge.input, bool):
        raise GenotypeError(f"{where}: the input must be an integer, not {edge.input!r}")
    if not 0 <= edge.input < node:
        raise GenotypeError(f"{where}: input {edge.input} is out of range; node {node} may read 0 to {node - 1}")


def _check_concat(concat: tuple[int, ...], cell: str, last: int) -> None:
    if not concat:
        raise GenotypeError(f"{cell} cell: it concatenates nothing")
    for state in concat:
        if not isinstance(state, int) or not INPUTS <= state <= last:
            raise GenotypeError(f"{cell} cell: it concatenates state {state!r}; its nodes are {INPUTS} to {last}")
    if len(set(concat)) != len(concat):
        raise GenotypeError(f"{cell} cell: a state is concatenated twice in {list(concat)}")


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell. Build one with :meth:`load`; every way in validates."""

    normal: CellSpec
    reduce: CellSpec

    def __post_init__(self) -> None:
        self.normal.validate("normal")
        self.reduce.validate("reduction")

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Mapping[str, Any] | Genotype) -> Genotype:
        """A genotype from whatever names one.

        ``source`` is a name of the zoo (``pdarts_cifar10``), a path to a ``.json`` / ``.yaml`` / text file, the classic
        text ``Genotype(normal=[...], normal_concat=..., reduce=[...], reduce_concat=...)`` that DARTS code prints, a
        mapping as :meth:`to_dict` gives, or a genotype. Raises :class:`GenotypeError` or ``UnknownName``.
        """
        if isinstance(source, Genotype):
            return source
        if isinstance(source, Mapping):
            return cls.from_dict(source)
        text = os.fspath(source)
        if not isinstance(source, str) or _names_file(text):
            return cls.from_file(text)
        if "Genotype(" in text or text.lstrip().startswith("{"):
            return cls.from_text(text)
        from nas.zoo_files import read_cell

        return cls.from_dict(read_cell(text)["genotype"])

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Genotype:
        """Read JSON, YAML or the classic text from a file; errors name the file."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise GenotypeError(f"genotype file {path} does not exist") from None
        except (OSError, UnicodeDecodeError) as error:
            raise GenotypeError(f"genotype file {path} cannot be read: {error}") from error
        try:
            return cls.from_text(text)
        except GenotypeError as error:
            raise GenotypeError(f"{path}: {error}") from error

    @classmethod
    def from_text(cls, text: str) -> Genotype:
        """Parse JSON, YAML, or the classic ``Genotype(...)`` text (also after ``NAME =``). Nothing is executed."""
        start = text.find("Genotype(")
        if start >= 0:
            try:
                return cls.from_dict(parse_classic(text[start:]))
            except ValueError as error:
                raise GenotypeError(f"not a genotype: {error}") from error
        import yaml

        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise GenotypeError(f"not a genotype: {error}") from error
        if not isinstance(data, Mapping):
            raise GenotypeError(
                "not a genotype: expected a mapping with 'normal' and 'reduce', or 'Genotype(...)' text"
            )
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Genotype:
        """From :meth:`to_dict`'s form, or the DARTS form in which consecutive pairs of edges feed one node each."""
        if isinstance(data.get("genotype"), Mapping):
            data = data["genotype"]
        return cls(_read_cell(data, "normal", "normal"), _read_cell(data, "reduce", "reduction"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: ``{"normal": {"nodes": [[[operation, input], ...], ...], "concat": [...]}, "reduce": ...}``."""
        return {
            name: {"nodes": [[list(edge) for edge in node] for node in cell.nodes], "concat": list(cell.concat)}
            for name, cell in (("normal", self.normal), ("reduce", self.reduce))
        }

    def to_text(self) -> str:
        """The classic DARTS text, for code that expects it; needs two inputs at every node."""
        if any(len(node) != 2 for cell in (self.normal, self.reduce) for node in cell.nodes):
            raise GenotypeError(
                "the classic text has exactly two inputs a node; this genotype has other numbers: use to_dict"
            )
        fields = []
        for name, cell in (("normal", self.normal), ("reduce", self.reduce)):
            fields += [
                f"{name}={[tuple(edge) for node in cell.nodes for edge in node]}",
                f"{name}_concat={list(cell.concat)}",
            ]
        return f"Genotype({', '.join(fields)})"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON that :meth:`load` reads back, atomically."""
        from nas.files import atomic_write

        atomic_write(path, (json.dumps(self.to_dict(), indent=1) + "\n").encode())

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that identify the content; part of the keys under which results are stored."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:12]


def _names_file(text: str) -> bool:
    """Whether ``text`` is a path, and not itself a genotype or a name of the zoo."""
    path = Path(text)
    try:
        return "\n" not in text and (path.suffix in {".json", ".yaml", ".yml", ".txt", ".py"} or path.is_file())
    except OSError:  # too long for a path
        return False


def _read_cell(data: Mapping[str, Any], key: str, cell: str) -> CellSpec:
    value = data.get(key)
    if value is None:
        raise GenotypeError(f"{cell} cell: the genotype has no {key!r}")
    nodes: Any
    concat: Any
    if isinstance(value, Mapping):
        nodes, concat = value.get("nodes"), value.get("concat")
    else:
        nodes, concat = _pair_up(value, cell), data.get(f"{key}_concat")
    if not _is_list(nodes) or not all(_is_list(node) for node in nodes):
        raise GenotypeError(f"{cell} cell: 'nodes' must be a list of lists of [operation, input]")
    if isinstance(concat, range):
        concat = list(concat)
    if not _is_list(concat):
        raise GenotypeError(f"{cell} cell: the list of concatenated states is missing")
    return CellSpec(
        tuple(tuple(_read_edge(edge, cell, i) for edge in node) for i, node in enumerate(nodes, start=INPUTS)),
        tuple(concat),
    )


def _read_edge(edge: Any, cell: str, node: int) -> Edge:
    if not _is_list(edge) or len(edge) != 2:
        raise GenotypeError(f"{cell} cell, node {node}: an edge is [operation, input], not {edge!r}")
    return Edge(str(edge[0]), edge[1])


def _pair_up(edges: Any, cell: str) -> list[list[Any]]:
    if not _is_list(edges):
        raise GenotypeError(f"{cell} cell: expected a list of (operation, input) pairs, not {edges!r}")
    if len(edges) % 2:
        raise GenotypeError(
            f"{cell} cell, node {INPUTS + len(edges) // 2}: {len(edges)} edges do not give two to each node"
        )
    return [list(edges[i : i + 2]) for i in range(0, len(edges), 2)]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
