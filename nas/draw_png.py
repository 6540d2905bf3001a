"""The shapes of a drawing painted with Pillow."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from nas.draw_layout import Curve, Heading, Shape

INK = (29, 36, 48)
FAINT = (135, 140, 150)
SMOOTHING = 2  # painted this much larger and shrunk: Pillow's lines have hard edges
STEPS = 24  # straight pieces of a curve
FONT_SIZE = 11


def paint(shapes: Sequence[Shape], width: float, height: float, scale: float) -> Image.Image:
    """An RGB image of ``width * scale`` by ``height * scale`` pixels, on white."""
    factor = scale * SMOOTHING
    image = Image.new("RGB", (round(width * factor), round(height * factor)), "white")
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT_SIZE * factor)
    for shape in shapes:
        if isinstance(shape, Curve):
            canvas.line([(x * factor, y * factor) for x, y in _points(shape)], fill=FAINT, width=round(1.2 * factor))
        elif isinstance(shape, Heading):
            canvas.text((shape.x * factor, shape.y * factor), shape.text, INK, font, anchor="ls")
        else:
            x, y, (w, h) = shape.x, shape.y, shape.size
            box = [(x - w / 2) * factor, (y - h / 2) * factor, (x + w / 2) * factor, (y + h / 2) * factor]
            fill, line = shape.fill or "white", None if shape.fill else INK
            canvas.rounded_rectangle(box, 5 * factor, fill=fill, outline=line, width=round(1.2 * factor))
            label = shape.label.replace("×", "x")  # Pillow's own font has no multiplication sign
            canvas.text((x * factor, y * factor), label, INK, font, anchor="mm")
    return image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)


def _points(curve: Curve) -> list[tuple[float, float]]:
    """Points on the cubic with horizontal tangents; straight where both ends are level."""
    (x1, y1), (x2, y2) = curve.start, curve.end
    middle = (x1 + x2) / 2
    points = []
    for step in range(STEPS + 1):
        t = step / STEPS
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append((a * x1 + (b + c) * middle + d * x2, (a + b) * y1 + (c + d) * y2))
    return points
