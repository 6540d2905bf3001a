"""Drawings of a genotype as SVG or PNG, without graphviz: both cells, columns by connection level."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

from nas.draw_layout import BOX, PILL, PILL_GAP, PORT_GAP, Box, Curve, Heading, Layout, Shape, Slot, lay_out
from nas.genotype import INPUTS, CellSpec, Genotype

MARGIN = 14.0
HEADING = 30.0  # room for the line above each cell
LETTER = 6.2  # width of a letter of that line, rather more than the mean
CELL_GAP = 26.0
# Fill of an operation by its family; dark text reads on all of them, on white and on black paper.
COLOURS = {"sep": "#a9cdf0", "dil": "#cdbcf2", "skip": "#a8dfb4", "max": "#f6c99a", "avg": "#f7dfa0", "conv": "#9fdcd9"}
OTHER = "#d5d9de"  # of an operation of any other family
INK = "#1d2430"


def draw_svg(genotype: Genotype) -> str:
    """The normal and the reduction cell below each other, as one SVG element that needs nothing else.

    Lines and text take the colour of the text around it (``currentColor``), so that it fits light and dark pages.
    """
    shapes, width, height = _picture(genotype)
    body = "\n".join(_svg(shape) for shape in shapes)
    label = escape(f"normal cell: {_summary(genotype.normal)}; reduction cell: {_summary(genotype.reduce)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{label}" font-family="Helvetica, Arial, sans-serif" '
        f'font-size="11" color="{INK}">\n{body}\n</svg>\n'
    )


def draw_png(genotype: Genotype, path: str | os.PathLike[str], scale: float = 2.0) -> None:
    """The same drawing as a PNG on white, ``scale`` pixels a unit (2: about 1,400 pixels wide)."""
    from io import BytesIO

    from nas.draw_png import paint
    from nas.files import atomic_write

    buffer = BytesIO()
    paint(*_picture(genotype), scale).save(buffer, format="PNG")
    atomic_write(Path(path), buffer.getvalue())


def operation_label(operation: str) -> str:
    """A short name: ``sep_conv_3x3`` is "sep 3×3"."""
    if operation == "skip_connect":
        return "skip"
    kind, *rest = operation.split("_")
    kernel = " ".join(part.replace("x", "×") for part in rest if "x" in part and part != "max")
    return f"{'' if kind == 'conv' else kind} {kernel}".strip()


def _picture(genotype: Genotype) -> tuple[list[Shape], float, float]:
    """All shapes with the size of the canvas."""
    shapes: list[Shape] = []
    width, top = 0.0, MARGIN
    for name, cell in (("Normal cell", genotype.normal), ("Reduction cell", genotype.reduce)):
        layout = lay_out(cell)
        first, last = layout.top_and_bottom()
        heading = Heading(MARGIN, top + 12, f"{name}: {_summary(cell)}")
        shapes.append(heading)
        # A lane that several readers share is drawn once: twice would be darker.
        shapes += dict.fromkeys(_cell(cell, layout, MARGIN, top + HEADING - first))
        width = max(width, layout.width + 2 * MARGIN, LETTER * len(heading.text) + 2 * MARGIN)
        top += HEADING + last - first + CELL_GAP
    return shapes, width, top - CELL_GAP + MARGIN


def _summary(cell: CellSpec) -> str:
    skips = f"{cell.skips} skip-connect{'' if cell.skips == 1 else 's'}"
    levels = f"{cell.longest_path} connection level{'' if cell.longest_path == 1 else 's'}"
    return f"{len(cell.nodes)} nodes, {skips}, {levels}"


def _cell(cell: CellSpec, layout: Layout, dx: float, dy: float) -> Iterator[Shape]:
    """Curves first, so that boxes lie on top of them."""
    boxes: list[Box] = []
    for index, node in enumerate(cell.nodes, start=INPUTS):
        slot = layout.at(index, cell.levels[index])
        left = layout.x[slot.column] + dx
        edges = sorted(node, key=lambda edge: layout.at(edge.input, slot.column - 1).y)
        for position, edge in enumerate(edges):
            y = slot.y + dy + (position - (len(node) - 1) / 2) * (PILL[1] + PILL_GAP)
            yield from _wire(layout, edge.input, slot.column, (left, y), dx, dy)
            yield Curve((left + PILL[0], y), (left + PILL[0] + PORT_GAP, slot.y + dy))
            fill = COLOURS.get(edge.operation.split("_")[0], OTHER)
            boxes.append(Box(left + PILL[0] / 2, y, PILL, operation_label(edge.operation), fill, edge.operation))
    output = layout.at(layout.output, len(layout.columns) - 1)
    for state in cell.concat:
        yield from _wire(layout, state, output.column, (layout.x[-1] + dx, output.y + dy), dx, dy)
    for column in layout.columns:
        boxes += [_state_box(layout, slot, dx, dy) for slot in column if not slot.lane]
    yield from boxes


def _wire(layout: Layout, state: int, target: int, end: tuple[float, float], dx: float, dy: float) -> Iterator[Curve]:
    """From the box of ``state`` along its lanes to ``end``, which is in column ``target``."""
    start = next(column for column in range(target) if any(s.state == state for s in layout.columns[column]))
    for column in range(start, target):
        slot = layout.at(state, column)
        right = (_right(layout, column) + dx, slot.y + dy)
        if slot.lane:
            yield Curve((layout.x[column] + dx, slot.y + dy), right)
        if column + 1 == target:
            yield Curve(right, end)
        else:
            yield Curve(right, (layout.x[column + 1] + dx, layout.at(state, column + 1).y + dy))


def _right(layout: Layout, column: int) -> float:
    return layout.x[column] + (BOX[0] if column == 0 else PILL[0] + PORT_GAP + BOX[0])


def _state_box(layout: Layout, slot: Slot, dx: float, dy: float) -> Box:
    names = {0: "c k-2", 1: "c k-1", layout.output: "c k"}
    name = names.get(slot.state, str(slot.state))
    titles = {0: "output of the cell before the last", 1: "output of the last cell", layout.output: "concatenation"}
    inset = 0.0 if slot.column == 0 or slot.state == layout.output else PILL[0] + PORT_GAP
    x = layout.x[slot.column] + inset + BOX[0] / 2
    return Box(x + dx, slot.y + dy, BOX, name, None, titles.get(slot.state, f"node {slot.state}"))


def _svg(shape: Shape) -> str:
    if isinstance(shape, Heading):
        return f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" fill="currentColor" font-weight="bold">{shape.text}</text>'
    if isinstance(shape, Curve):
        (x1, y1), (x2, y2) = shape.start, shape.end
        middle = (x1 + x2) / 2
        path = f"M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        return f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity="0.55" stroke-width="1.2"/>'
    width, height = shape.size
    style = f'fill="{shape.fill}"' if shape.fill else 'fill="none" stroke="currentColor" stroke-width="1.2"'
    text = INK if shape.fill else "currentColor"
    return (
        f"<g><title>{escape(shape.title)}</title>"
        f'<rect x="{shape.x - width / 2:.1f}" y="{shape.y - height / 2:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="5" {style}/><text x="{shape.x:.1f}" y="{shape.y + 4:.1f}" text-anchor="middle" fill="{text}">'
        f"{escape(shape.label)}</text></g>"
    )
