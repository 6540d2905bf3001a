"""Small plots as inline SVG: points with labels, lines over epochs, stacked bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from benchmarks.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    frame,
    line,
    percent,
    short,
    svg,
    text,
)

LABEL_LIMIT = 14  # beyond this many points only the tooltips name them
CHARACTER = 6.1  # width of one at the size of a label
LINE_STYLES = ("s1", "s2", "s3", "s4", "s5", "s6")


@dataclass(frozen=True)
class Dot:
    """One point; ``kind`` is the kind of backbone and gives colour and shape, ``ring`` marks the Pareto front."""

    x: float
    y: float
    label: str
    kind: str
    ring: bool = False


def scatter(
    dots: Sequence[Dot],
    titles: tuple[str, str],
    log_x: bool = False,
    x_text: Callable[[float], str] = short,
    y_text: Callable[[float], str] = percent,
) -> str:
    """Points, the ringed ones joined in order of x; ``x_text`` and ``y_text`` print a value of each axis."""
    x = Scale.over([dot.x for dot in dots], LEFT, WIDTH - RIGHT, log_x)
    y = Scale.over([dot.y for dot in dots], HEIGHT - BOTTOM, TOP)
    front = sorted((dot for dot in dots if dot.ring), key=lambda dot: (dot.x, dot.y))
    parts = [frame(x, y, titles, (x_text, y_text))]
    parts += [line((x(a.x), y(a.y)), (x(b.x), y(b.y)), "front") for a, b in pairwise(front)]
    parts += [_dot(x(dot.x), y(dot.y), dot, f"{y_text(dot.y)} at {x_text(dot.x)}") for dot in dots]
    parts += _labels([(x(dot.x), y(dot.y), dot.label) for dot in dots]) if len(dots) <= LABEL_LIMIT else []
    return svg(parts, f"{titles[1]} against {titles[0]}, {len(dots)} points")


def _dot(x: float, y: float, dot: Dot, values: str) -> str:
    tip = f"<title>{escape(dot.label)}: {values}</title>"
    shapes = {
        "searched": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>',
        "published": f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>',
        "random": f'<path d="M{x:.1f} {y - 6:.1f}l5.5 10h-11z"/>',
        "timm": f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6-6z"/>',
    }
    shape = shapes.get(dot.kind, f'<path d="M{x - 5:.1f} {y - 5:.1f}l10 10m0-10l-10 10" stroke-width="2.5"/>')
    return f'<g class="dot k-{escape(dot.kind)}" data-name="{escape(dot.label)}">{tip}{shape}</g>'


def _labels(points: Sequence[tuple[float, float, str]]) -> list[str]:
    """Each name right, left, above or below its point, where nothing is in the way; none where all four are taken."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points]
    placed = []
    for x, y, name in points:
        width = len(name) * CHARACTER
        for left, base in ((x + 9, y + 4), (x - 9 - width, y + 4), (x - width / 2, y - 10), (x - width / 2, y + 19)):
            box = (left, base - 9, left + width, base + 2)
            inside = box[0] >= LEFT and box[2] <= WIDTH - 2
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append(text(left, base, name, style="label"))
                break
    return placed


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def lines(
    series: Mapping[str, Sequence[float]], titles: tuple[str, str], boundaries: Sequence[int] = (), whole: bool = False
) -> str:
    """Lines over epochs 1, 2, ...; ``boundaries`` are the epochs after which a new stage begins.

    ``whole`` is for counts: the axis starts at 0 and has whole numbers only.
    """
    length = max(len(values) for values in series.values())
    x = Scale(1, max(length, 2), LEFT, WIDTH - RIGHT)
    every = [value for values in series.values() for value in values]
    y = Scale.over([0.0, 2.0, *every] if whole else every, HEIGHT - BOTTOM, TOP)
    parts = [frame(x, y, titles, (short, _whole if whole else short))]
    parts += [line((x(b + 0.5), TOP), (x(b + 0.5), HEIGHT - BOTTOM), "stage") for b in boundaries]
    for style, (name, values) in zip(LINE_STYLES * (1 + len(series) // len(LINE_STYLES)), series.items()):
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in enumerate(values, start=1))
        parts.append(f'<polyline class="line {style}" points="{points}"><title>{escape(name)}</title></polyline>')
    return svg(parts, f"{titles[1]} over {titles[0]}: {', '.join(series)}")


def _whole(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else ""


def bars(rows: Mapping[str, Mapping[str, float]], parts: Sequence[str], label: str) -> str:
    """Horizontal stacked bars of seconds, one per row, in the order given; ``parts`` is the order of the pieces."""
    longest = max(sum(row.values()) for row in rows.values()) or 1.0
    left, height, pitch = 150.0, 14.0, 24.0
    scale = (WIDTH + 160 - left - 60) / longest
    drawn = []
    for index, (name, row) in enumerate(rows.items()):
        x, y = left, 8 + index * pitch
        drawn.append(text(left - 8, y + 11, name if len(name) < 24 else f"{name[:22]}…", "end", "label"))
        for style, part in zip(LINE_STYLES, parts):
            width = row.get(part, 0.0) * scale
            if width > 0:
                tip = f"<title>{escape(name)}, {escape(part)}: {seconds(row[part])}</title>"
                place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"'
                drawn.append(f'<rect class="bar {style}" {place}>{tip}</rect>')
                x += width
        drawn.append(text(x + 6, y + 11, seconds(sum(row.values())), style="label"))
    return svg(drawn, label, WIDTH + 160, 16 + len(rows) * pitch)


def seconds(value: float) -> str:
    """A duration for people: 45 s, 12 min, 3.4 h, 2.1 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
