"""The frame of a small plot: scales, round ticks, axis titles. Plain SVG text that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 380.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 14.0, 14.0, 44.0
TICKS = 5
HALF_CHARACTER = 3.2  # half the width of one in a tick label


@dataclass(frozen=True)
class Scale:
    """Maps values between ``low`` and ``high`` to pixels between ``start`` and ``end``; logarithmic if asked."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, log: bool = False, margin: float = 0.08) -> Scale:
        """A scale over ``values`` with some room on either side; a single value gets room of its own size."""
        low, high = min(values), max(values)
        if log:
            return cls(low / 1.25, high * 1.25, start, end, True)
        room = (high - low) * margin or abs(high) * 0.1 or 1.0
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values inside the scale, about :data:`TICKS` of them."""
        return _log_ticks(self.low, self.high) if self.log else _round_ticks(self.low, self.high)


def _round_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= raw)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        ticks = [step * 10.0**e for e in exponents for step in steps if low <= step * 10.0**e <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks


def frame(
    x: Scale, y: Scale, titles: tuple[str, str], texts: tuple[Callable[[float], str], Callable[[float], str]]
) -> str:
    """Grid lines, tick labels and axis titles; ``texts`` print a tick of each axis."""
    parts = []
    free = LEFT - 20  # where the next label may begin
    for tick in x.ticks():
        parts.append(line((x(tick), TOP), (x(tick), HEIGHT - BOTTOM), "grid"))
        label = texts[0](tick)
        if x(tick) - len(label) * HALF_CHARACTER >= free:
            parts.append(text(x(tick), HEIGHT - BOTTOM + 15, label, "middle"))
            free = x(tick) + (len(label) + 2) * HALF_CHARACTER
    for tick in y.ticks():
        parts.append(line((LEFT, y(tick)), (WIDTH - RIGHT, y(tick)), "grid"))
        parts.append(text(LEFT - 6, y(tick) + 4, texts[1](tick), "end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, titles[0], "middle", "title"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="title" text-anchor="middle" transform="translate(13 {middle:.0f}) rotate(-90)">'
        f"{escape(titles[1])}</text>"
    )
    return "".join(parts)


def svg(parts: Iterable[str], label: str, width: float = WIDTH, height: float = HEIGHT) -> str:
    """The plot as an inline SVG element; ``label`` is read out to those who cannot see it."""
    return (
        f'<svg class="plot" viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width * 1.4:.0f}px" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def line(start: tuple[float, float], end: tuple[float, float], style: str) -> str:
    """A straight line of a CSS class."""
    return f'<line class="{style}" x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'


def text(x: float, y: float, content: str, anchor: str = "start", style: str = "tick") -> str:
    """A piece of text at (x, y)."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def short(value: float) -> str:
    """A tick label: 3 significant digits, K, M and B for thousands, millions, billions."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """A fraction as percent: 0.5 is 50 %."""
    return f"{100 * value:.3g} %"
