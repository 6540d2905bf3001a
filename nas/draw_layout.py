"""Where the parts of a cell go in a drawing: a small layered layout, columns by connection level.

Column 0 holds the two inputs, the last one the output; a node is in the column of its connection level (section
5.2.1), with its operations in front of it. Whatever passes a column without stopping there gets a lane of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nas.genotype import INPUTS, CellSpec

PILL = (64.0, 20.0)  # width, height of an operation
BOX = (38.0, 26.0)  # of a node, an input or the output
PILL_GAP = 4.0  # between the operations of a node
PORT_GAP = 16.0  # between the operations and their node
COLUMN_GAP = 46.0  # room for the curves
ROW_GAP = 16.0
LANE_HEIGHT = 6.0
SWEEPS = 8  # passes of ordering and of straightening; the drawing settles after three or four


@dataclass(frozen=True)
class Curve:
    """A line from one point to another, leaving and arriving horizontally."""

    start: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A labelled rectangle around (x, y); ``fill`` None leaves it open. ``title`` is the full name."""

    x: float
    y: float
    size: tuple[float, float]
    label: str
    fill: str | None
    title: str


@dataclass(frozen=True)
class Heading:
    """A line of text starting at (x, y)."""

    x: float
    y: float
    text: str


Shape = Curve | Box | Heading


@dataclass
class Slot:
    """One thing in a column: a state with its operations, or a lane (``lane``) on which ``state`` passes by."""

    state: int
    column: int
    lane: bool
    feeds_from: tuple[int, ...]  # the states it reads, one for each operation
    y: float = 0.0

    @property
    def height(self) -> float:
        """Height that the slot takes in its column."""
        if self.lane:
            return LANE_HEIGHT
        pills = len(self.feeds_from)
        return max(BOX[1], pills * PILL[1] + (pills - 1) * PILL_GAP)


@dataclass(frozen=True)
class Layout:
    """Slots by column, top to bottom; ``x`` is the left edge of each column. All lengths in pixels, y downwards."""

    columns: tuple[tuple[Slot, ...], ...]
    x: tuple[float, ...]
    output: int  # index of the output, one after the last node
    _by_key: Mapping[tuple[int, int], Slot] = field(repr=False)

    @property
    def width(self) -> float:
        """Total width."""
        return self.x[-1] + BOX[0]

    def at(self, state: int, column: int) -> Slot:
        """Where ``state`` is in ``column``: its box or its lane."""
        return self._by_key[state, column]

    def top_and_bottom(self) -> tuple[float, float]:
        """The extent of all slots."""
        slots = [slot for column in self.columns for slot in column]
        return min(s.y - s.height / 2 for s in slots), max(s.y + s.height / 2 for s in slots)


def lay_out(cell: CellSpec) -> Layout:
    """Assign every state of ``cell`` a column and a height such that few curves cross and long ones run straight."""
    columns = _columns(cell)
    by_key = {(slot.state, slot.column): slot for column in columns for slot in column}
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            column.sort(key=lambda slot: _pull(slot, by_key, forward))
            _stack(column)
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            _straighten(column, {id(s): _pull(s, by_key, sweep % 2 == 0) for s in column})
    return Layout(tuple(map(tuple, columns)), _lefts(len(columns)), INPUTS + len(cell.nodes), by_key)


def _columns(cell: CellSpec) -> list[list[Slot]]:
    output = INPUTS + len(cell.nodes)
    level = {**cell.levels, output: 1 + max(cell.levels.values())}
    reads = {index: tuple(edge.input for edge in node) for index, node in enumerate(cell.nodes, start=INPUTS)}
    reads[output] = cell.concat
    columns: list[list[Slot]] = [[] for _ in range(level[output] + 1)]
    for state in sorted(level):
        pills = () if state == output else reads.get(state, ())
        columns[level[state]].append(Slot(state, level[state], False, pills))
        last = max((level[reader] for reader, inputs in reads.items() if state in inputs), default=0)
        for passed in range(level[state] + 1, last):
            columns[passed].append(Slot(state, passed, True, (state,)))
    for column in columns:
        _stack(column)
    columns[-1][0].feeds_from = ()
    return columns


def _pull(slot: Slot, by_key: Mapping[tuple[int, int], Slot], forward: bool) -> float:
    """Mean height of what the slot is joined to in the column before (or, going backward, after) it."""
    if forward:
        heights = [by_key[state, slot.column - 1].y for state in slot.feeds_from if (state, slot.column - 1) in by_key]
    else:
        after = [other for (_, column), other in by_key.items() if column == slot.column + 1]
        heights = [o.y for o in after if slot.state in o.feeds_from or (o.lane and o.state == slot.state)]
    return sum(heights) / len(heights) if heights else slot.y


def _stack(column: list[Slot]) -> None:
    """Put the slots below each other in their order, centred on 0."""
    total = sum(slot.height for slot in column) + ROW_GAP * (len(column) - 1)
    y = -total / 2
    for slot in column:
        slot.y = y + slot.height / 2
        y += slot.height + ROW_GAP


def _straighten(column: list[Slot], wanted: Mapping[int, float]) -> None:
    """Move the slots towards the heights they want, keeping their order and their distance."""
    bottom = float("-inf")
    for slot in column:
        slot.y = max(wanted[id(slot)], bottom + ROW_GAP + slot.height / 2)
        bottom = slot.y + slot.height / 2
    drift = sum(slot.y - wanted[id(slot)] for slot in column) / len(column)
    for slot in column:
        slot.y -= drift


def _lefts(columns: int) -> tuple[float, ...]:
    """Left edges: the inputs' column is as wide as a box, the others hold operations and a box."""
    wide = PILL[0] + PORT_GAP + BOX[0]
    inner = [BOX[0] + COLUMN_GAP + index * (wide + COLUMN_GAP) for index in range(columns - 1)]
    return (0.0, *inner)
