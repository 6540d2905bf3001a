"""Precision over recall as a picture: of all classes at three strictnesses, and of each class where there are few."""

from __future__ import annotations

import io
from pathlib import Path

from detection.coco_eval import RECALL_POINTS, CocoScores
from detection.fonts import font_file
from nas.errors import require
from nas.files import atomic_write

MOST_CLASSES = 12  # with more of them, single classes cannot be told apart
SIZE = (8.2, 4.4)  # inches, at 100 pixels each


def draw_curves(scores: CocoScores, path: str | Path, title: str = "") -> Path:
    """Write a PNG: solid the mean over classes at IoU 0.5, 0.75 and 0.5 to 0.95, dotted each class at IoU 0.5."""
    figure = require("matplotlib.figure", "detection").Figure(SIZE, dpi=100, layout="constrained")
    axes = figure.subplots()
    for name, iou in (("IoU 0.5", 0.5), ("IoU 0.75", 0.75), ("IoU 0.5 to 0.95", None)):
        curve = scores.curve(iou)
        axes.plot(RECALL_POINTS, curve, linewidth=2, label=f"{name}: AP {curve.mean():.3f}")
    for name, curve in scores.class_curves(0.5).items() if len(scores.classes) <= MOST_CLASSES else ():
        label = name if font_file(name) else f"class {scores.classes.index(name) + 1}"
        axes.plot(RECALL_POINTS, curve, linewidth=1, linestyle=":", label=f"{label}, IoU 0.5: {curve.mean():.3f}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title(title if font_file(title) else "", font=font_file(title))
    axes.grid(alpha=0.3)
    legend = figure.legend(fontsize=8, loc="outside right upper")  # inside it would hide the curves
    for text in legend.get_texts():
        text.set(font=font_file(text.get_text()), fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    atomic_write(path, buffer.getvalue())
    return Path(path)
