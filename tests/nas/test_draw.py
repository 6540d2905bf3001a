"""Drawings hold every edge of a cell, overlap nothing, and are whole files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from nas import zoo
from nas.draw import _picture, draw_png, draw_svg, operation_label
from nas.draw_layout import Box, Curve, Heading, lay_out
from nas.genotype import INPUTS, CellSpec, Edge, Genotype

SVG = "{http://www.w3.org/2000/svg}"
CHAIN = CellSpec(((Edge("skip_connect", 0),), (Edge("sep_conv_3x3", 2),), (Edge("dil_conv_5x5", 3),)), (4,))


def test_every_operation_is_drawn_with_its_full_name() -> None:
    for name in ("pdarts_cifar10", "darts_v2"):
        genotype = zoo.genotype(name)
        root = ElementTree.fromstring(draw_svg(genotype))
        titles = [title.text for title in root.iter(f"{SVG}title")]
        drawn = sorted(t for t in titles if t and "_" in t)
        cells = (genotype.normal, genotype.reduce)
        assert drawn == sorted(edge.operation for cell in cells for node in cell.nodes for edge in node)


@pytest.mark.parametrize("name", zoo.names())
def test_no_two_boxes_overlap_and_all_lie_on_the_canvas(name: str) -> None:
    shapes, width, height = _picture(zoo.genotype(name))
    boxes = [shape for shape in shapes if isinstance(shape, Box)]
    for a, b in combinations(boxes, 2):
        apart_x = abs(a.x - b.x) >= (a.size[0] + b.size[0]) / 2
        apart_y = abs(a.y - b.y) >= (a.size[1] + b.size[1]) / 2
        assert apart_x or apart_y, (a, b)
    for box in boxes:
        assert box.x - box.size[0] / 2 >= 0
        assert box.x + box.size[0] / 2 <= width
        assert box.y - box.size[1] / 2 >= 0
        assert box.y + box.size[1] / 2 <= height


@pytest.mark.parametrize("name", zoo.names())
def test_no_curve_runs_through_a_box(name: str) -> None:
    shapes, _, _ = _picture(zoo.genotype(name))
    boxes = [shape for shape in shapes if isinstance(shape, Box)]
    for curve in (shape for shape in shapes if isinstance(shape, Curve)):
        if curve.start[1] != curve.end[1]:
            continue  # only lanes, which are level, run past boxes
        for box in boxes:
            inside = min(curve.start[0], curve.end[0]) < box.x < max(curve.start[0], curve.end[0])
            assert not (inside and abs(curve.start[1] - box.y) < box.size[1] / 2), (curve, box)


def test_a_node_stands_in_the_column_of_its_connection_level() -> None:
    layout = lay_out(CHAIN)
    columns = {slot.state: slot.column for column in layout.columns for slot in column if not slot.lane}
    assert columns == {0: 0, 1: 0, 2: 1, 3: 2, 4: 3, layout.output: 4}


def test_a_state_read_further_on_gets_a_lane_in_every_column_between() -> None:
    cell = CellSpec((*CHAIN.nodes, (Edge("skip_connect", 0), Edge("skip_connect", 4))), (5,))
    lanes = {(slot.state, slot.column) for column in lay_out(cell).columns for slot in column if slot.lane}
    assert lanes == {(0, 1), (0, 2), (0, 3)}


def test_curves_join_every_operation_to_what_it_reads() -> None:
    shapes, _, _ = _picture(Genotype(CHAIN, CHAIN))
    ends = {curve.end for curve in shapes if isinstance(curve, Curve)}
    pills = [shape for shape in shapes if isinstance(shape, Box) and "_" in shape.title]
    assert all((pill.x - pill.size[0] / 2, pill.y) in ends for pill in pills)
    assert len(pills) == 2 * sum(map(len, CHAIN.nodes))
    assert INPUTS == 2


def test_short_names_of_operations() -> None:
    labels = {"sep_conv_3x3": "sep 3×3", "max_pool_3x3": "max 3×3", "skip_connect": "skip", "conv_7x1_1x7": "7×1 1×7"}
    assert {name: operation_label(name) for name in labels} == labels


def test_the_png_is_a_picture_of_the_same_shape(tmp_path: Path) -> None:
    genotype = zoo.genotype("pdarts_cifar10")
    draw_png(genotype, tmp_path / "cell.png", scale=1.0)
    _, width, height = _picture(genotype)
    with Image.open(tmp_path / "cell.png") as image:
        assert image.size == (round(width), round(height))
        assert len(image.convert("RGB").getcolors(maxcolors=100_000) or []) > 20


@pytest.mark.parametrize("name", zoo.names())
def test_headings_end_on_the_canvas(name: str) -> None:
    shapes, width, _ = _picture(zoo.genotype(name))
    font = ImageFont.load_default(11)
    headings = [shape for shape in shapes if isinstance(shape, Heading)]
    assert len(headings) == 2
    for heading in headings:
        assert heading.x + font.getlength(heading.text) <= width
