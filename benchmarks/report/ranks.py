"""Two drawings of a comparison over data sets: the critical-difference diagram and the performance profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.comparison import RANDOM, compare_backbones
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
from benchmarks.report.figures import Figure
from benchmarks.report.plots import LINE_STYLES
from benchmarks.statistics.ranks import performance_profile
from benchmarks.tables.measurements import Measurements

ROW = 17.0  # pixels between two names
NAMES = 150.0  # pixels for the names on either side


def rank_figures(measured: Measurements) -> Iterator[Figure]:
    """The diagrams of all backbones over all target data sets; nothing where they cannot be ranked."""
    found = compare_backbones(measured)
    if found is None:
        return
    test = found.test
    significant = test.friedman_p <= 0.05
    said = (
        f"Mean ranks; a bar joins backbones closer than the critical difference of {test.critical_difference:.2f}"
        if significant
        else f"Mean ranks; the Friedman test (p = {test.friedman_p:.2f}) does not tell any of them apart"
    )
    yield Figure(critical_difference_diagram(found.names, test.mean_ranks, test.critical_difference), said)
    shown = [name for name in found.relative if name != RANDOM][: len(LINE_STYLES) - 1]
    if shown:
        runs = [found.relative[name] for name in (*shown, RANDOM)]
        yield Figure(profile([*shown, RANDOM], runs), "Performance profile: share of runs and data sets above a ratio")


def critical_difference_diagram(names: Sequence[str], ranks: Sequence[float], critical: float) -> str:
    """Names at their mean ranks, best on the left; bars join groups that are closer than ``critical``."""
    count = len(names)
    order = sorted(range(count), key=lambda index: ranks[index])
    width = WIDTH + 2 * NAMES
    axis = Scale(1, count, NAMES, width - NAMES)
    groups = _groups([ranks[index] for index in order], critical)
    top = 44.0 + 7 * len(groups)
    half = (count + 1) // 2
    parts = [line((axis(1), 34), (axis(count), 34), "front")]
    parts += [line((axis(tick), 29), (axis(tick), 34), "front") for tick in range(1, count + 1)]
    parts += [text(axis(tick), 24, str(tick), "middle") for tick in range(1, count + 1)]
    reach = min(axis(1 + critical), width - 4)
    parts += [line((axis(1), 8), (reach, 8), "stage"), text(reach + 4, 12, f"critical difference {critical:.2f}")]
    for place, index in enumerate(order):
        left = place < half
        y = top + ROW * (place if left else count - 1 - place) + 12
        x = axis(ranks[index])
        end = NAMES - 6 if left else width - NAMES + 6
        parts += [line((x, 34), (x, y), "grid"), line((x, y), (end, y), "grid")]
        label = names[index] if len(names[index]) < 24 else f"{names[index][:22]}…"
        parts.append(text(end + (-4 if left else 4), y + 4, label, "end" if left else "start", "label"))
    for level, (first, last) in enumerate(groups):
        y = 40.0 + 7 * level
        parts.append(line((axis(ranks[order[first]]) - 4, y), (axis(ranks[order[last]]) + 4, y), "bar-joined"))
    described = ", ".join(f"{names[index]} {ranks[index]:.2f}" for index in order)
    return svg(parts, f"Mean ranks: {described}", width, top + ROW * half + 18)


def _groups(ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """First and last place of each largest run of sorted ``ranks`` that lie within ``critical`` of each other."""
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(index for index, other in enumerate(ranks) if other - rank <= critical)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups


def profile(names: Sequence[str], runs: Sequence[np.ndarray]) -> str:
    """One line a backbone: for each ratio to the mean random cell the share of its runs and data sets above it."""
    every = np.concatenate([table.ravel() for table in runs])
    x = Scale.over(every.tolist(), LEFT, WIDTH - RIGHT)
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    thresholds = np.linspace(x.low, x.high, 121)
    parts = [frame(x, y, ("ratio to the mean random cell", "share above it"), (short, percent))]
    for style, table in zip(LINE_STYLES, runs):
        shares = performance_profile(table, thresholds)
        points = " ".join(f"{x(tau):.1f},{y(share):.1f}" for tau, share in zip(thresholds, shares))
        parts.append(f'<polyline class="line {style}" points="{points}"/>')
    for index, (style, name) in enumerate(zip(LINE_STYLES, names)):
        left, top = WIDTH - 130, TOP + 8 + 14 * index
        parts.append(f'<polyline class="line {style}" points="{left:.0f},{top:.0f} {left + 18:.0f},{top:.0f}"/>')
        parts.append(text(left + 22, top + 4, name if len(name) < 18 else f"{name[:16]}…", style="label"))
    return svg(parts, f"Performance profiles of {', '.join(names)}")
