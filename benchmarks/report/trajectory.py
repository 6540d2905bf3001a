"""The trajectory of a search as one picture: weights of the operations, skip-connects, accuracies, losses over epochs.

python -m benchmarks.report.trajectory runs/search/jobs/JOB/search.json search.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, frame, line, percent, short, text
from nas.errors import NaswildError
from nas.files import atomic_write

Stage = Mapping[str, Any]
Series = Mapping[str, Sequence[float | None]]

COLUMNS = 2
GAP = 20.0  # between two plots side by side
LEGEND = 52.0  # height below each plot
COLOURS = {  # an operation has the same one in every plot; other lines take them in turn
    "skip_connect": "#b23a48",
    "sep_conv_3x3": "#1f6fbf",
    "sep_conv_5x5": "#17a2b8",
    "dil_conv_3x3": "#2f9e6e",
    "dil_conv_5x5": "#8bbf3f",
    "max_pool_3x3": "#9a4fb0",
    "avg_pool_3x3": "#c9861f",
    "none": "#6b7280",
}
STYLE = """
text { font: 11px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #5a6472; } text.title { fill: #1d2430; }
line.grid { stroke: #d9dee5; } line.stage { stroke: #5a6472; stroke-dasharray: 4 3; }
polyline { fill: none; stroke-width: 2; }
"""


SKIPS, ACCURACY = "skip-connects, normal cell", "accuracy"


def _whole(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else ""


TICK_TEXTS = {SKIPS: _whole, ACCURACY: percent}


def save_trajectory(stages: Sequence[Stage], path: Path) -> None:
    """Draw the ``stages`` of a search (as in ``search.json``, or in a result's details) into an SVG file.

    Raises:
        NaswildError: the search has no epochs, as one of random cells; or the file is not an SVG.
    """
    if path.suffix != ".svg":
        raise NaswildError(f"{path}: a trajectory is drawn as an .svg file")
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, draw_trajectory(stages).encode())


def draw_trajectory(stages: Sequence[Stage]) -> str:
    """The picture as a document of its own."""
    epochs = [epoch for stage in stages for epoch in stage["trajectory"]]
    if not epochs:
        raise NaswildError("this search has no epochs to draw: random cells are drawn without a search")
    lengths = [len(stage["trajectory"]) for stage in stages]
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths) - 1)]
    panels = [_panel(series, title, ends) for title, series in _plots(stages, epochs)]
    pitch, height = WIDTH + GAP, HEIGHT + LEGEND
    placed = [
        f'<g transform="translate({pitch * (index % COLUMNS):.0f} {height * (index // COLUMNS):.0f})">{panel}</g>'
        for index, panel in enumerate(panels)
    ]
    width, total = pitch * COLUMNS, height * math.ceil(len(panels) / COLUMNS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {total:.0f}" width="{width:.0f}" '
        f'role="img" aria-label="Trajectory of a search over {len(epochs)} epochs"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(placed)}</svg>\n'
    )


def _plots(stages: Sequence[Stage], epochs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Series]]:
    """(title of the axis, lines) of every plot."""
    yield "mean weight, normal cell", mean_weights(stages, "normal")
    yield "mean weight, reduction cell", mean_weights(stages, "reduce")
    yield SKIPS, {"before refinement": [epoch["skips"] for epoch in epochs]}
    yield (
        ACCURACY,
        {
            "weights' half": [epoch["train_accuracy"] for epoch in epochs],
            "alphas' half": [epoch["alphas_accuracy"] for epoch in epochs],
            "alphas' half, tested": [epoch["validation_accuracy"] for epoch in epochs],
        },
    )
    yield (
        "loss",
        {
            "weights' half": [epoch["train_loss"] for epoch in epochs],
            "alphas' half": [epoch["alphas_loss"] for epoch in epochs],
            "dropout on skips": [epoch["dropout"] for epoch in epochs],
        },
    )
    gradients = [epoch.get("alpha_gradients") or {} for epoch in epochs]
    if names := [name for name in COLOURS if any(name in sizes for sizes in gradients)]:
        yield "mean gradient of the alphas", {name: [sizes.get(name) for sizes in gradients] for name in names}


def mean_weights(stages: Sequence[Stage], cell: str) -> dict[str, list[float | None]]:
    """Per operation its softmax weight in every epoch, mean over the 14 edges; 0 on an edge that has lost it."""
    present = {name for stage in stages for edge in stage["operations"][cell] for name in edge}
    names = [*(name for name in COLOURS if name in present), *sorted(present - COLOURS.keys())]
    found: dict[str, list[float | None]] = {name: [] for name in names}
    for stage in stages:
        for epoch in stage["trajectory"]:
            totals = dict.fromkeys(names, 0.0)
            for edge, row in zip(stage["operations"][cell], epoch["alphas"][cell]):
                powers = [math.exp(alpha - max(row)) for alpha in row]
                for name, power in zip(edge, powers):
                    totals[name] += power / sum(powers) / len(stage["operations"][cell])
            for name, total in totals.items():
                found[name].append(total)
    return found


def _panel(series: Series, title: str, boundaries: Sequence[int]) -> str:
    """One plot with its legend; where a value is missing the line has a gap."""
    values = [value for row in series.values() for value in row if value is not None]
    length = max(len(row) for row in series.values())
    x = Scale(1, max(length, 2), LEFT, WIDTH - RIGHT)
    y = Scale.over([0.0, *values], HEIGHT - BOTTOM, TOP)
    parts = [frame(x, y, ("epoch", title), (short, TICK_TEXTS.get(title, short)))]
    parts += [line((x(end + 0.5), TOP), (x(end + 0.5), HEIGHT - BOTTOM), "stage") for end in boundaries]
    colours = _colours(list(series))
    for name, row in series.items():
        colour = colours[name]
        for points in _runs(row):
            place = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in points)
            if len(points) == 1:
                cx, cy = place.split(",")
                parts.append(f'<circle cx="{cx}" cy="{cy}" r="2.5" fill="{colour}"/>')
            parts.append(f'<polyline stroke="{colour}" points="{place}"><title>{escape(name)}</title></polyline>')
    return "".join([*parts, *_legend(colours)])


def _runs(row: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches of a line that have values, as (epoch, value)."""
    runs: list[list[tuple[int, float]]] = [[]]
    for epoch, value in enumerate(row, start=1):
        if value is not None:
            runs[-1].append((epoch, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _colours(names: Sequence[str]) -> dict[str, str]:
    others = iter(COLOURS[name] for name in ("sep_conv_3x3", "skip_connect", "dil_conv_3x3", "max_pool_3x3"))
    return {name: COLOURS.get(name) or next(others, "#1d2430") for name in names}


def _legend(colours: Mapping[str, str]) -> Iterator[str]:
    width = (WIDTH - LEFT) / 3
    for index, (name, colour) in enumerate(colours.items()):
        left, base = LEFT + width * (index % 3), HEIGHT + 10 + 15 * (index // 3)
        yield f'<rect x="{left:.1f}" y="{base - 8:.1f}" width="9" height="9" fill="{colour}"/>'
        yield text(left + 12, base, name)


def main() -> None:
    """Draw the search.json that is named first into the SVG file that is named second."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    try:
        save_trajectory(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["stages"], Path(sys.argv[2]))
    except NaswildError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
