"""Draws one handwritten digit on a photograph: area, turn, tint and place are random, the box is tight."""

from __future__ import annotations

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels, the last ones excluded

# Areas of the boxes in pixels and how often each range is drawn; COCO's limits are 32^2 = 1,024 and 96^2 = 9,216.
AREAS = {"small": (450, 980, 0.3), "medium": (1100, 8800, 0.45), "large": (9300, 12500, 0.25)}
# The scene is a photograph as by dusk with luminous digits: tints of at least LUMINOUS (0..255) in every channel on
# pixels scaled by a factor within DIM. So the digits look as they do in the data set that backbones are trained on.
DIM = (0.3, 0.6)
LUMINOUS = 140.0
TRIES = 40  # places tried for a digit before it is given up


def crop_photograph(photograph: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of a photograph, 40 to 100 % of its shorter side, (size, size, 3) float32, perhaps mirrored."""
    height, width = photograph.shape[:2]
    side = int(min(height, width) * rng.uniform(0.4, 1.0))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    square = Image.fromarray(photograph[top : top + side, left : left + side]).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(square, dtype=np.float32) * np.float32(rng.uniform(*DIM))
    return np.ascontiguousarray(pixels[:, ::-1] if rng.random() < 0.5 else pixels)


def paste_digit(canvas: np.ndarray, ink: np.ndarray, taken: list[Box], rng: np.random.Generator) -> Box | None:
    """Draw one digit on ``canvas`` in place, apart from the boxes ``taken``; its tight box x1, y1, x2, y2.

    None if no free place was found.
    """
    alpha = scale_digit(ink, _draw_area(rng), float(rng.uniform(-12, 12)))
    height, width = alpha.shape
    limit_y, limit_x = canvas.shape[0] - height, canvas.shape[1] - width
    if limit_x < 0 or limit_y < 0:
        return None
    for _ in range(TRIES):
        x, y = int(rng.integers(limit_x + 1)), int(rng.integers(limit_y + 1))
        if all(x >= b[2] or x + width <= b[0] or y >= b[3] or y + height <= b[1] for b in taken):
            region = canvas[y : y + height, x : x + width]
            tint = rng.uniform(LUMINOUS, 255, 3).astype(np.float32)
            region += alpha[..., None] * (tint - region)
            return x, y, x + width, y + height
    return None


def _draw_area(rng: np.random.Generator) -> float:
    """The area a box shall have: first the range, then log-uniform within it."""
    low, high, _ = list(AREAS.values())[rng.choice(len(AREAS), p=[share for *_, share in AREAS.values()])]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def scale_digit(ink: np.ndarray, area: float, degrees: float) -> np.ndarray:
    """Opacity of an 8 x 8 digit (0..1), turned and scaled so that its tight box has about ``area`` pixels."""
    image = Image.fromarray(np.uint8(np.rint(ink * 255)))
    large = image.resize((128, 128), Image.Resampling.BICUBIC).rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    opacity = np.clip((np.asarray(large, dtype=np.float32) / 255 - 0.2) / 0.4, 0, 1)  # from soft ink to a crisp stroke
    rows, columns = np.flatnonzero(opacity.max(1) > 0.5), np.flatnonzero(opacity.max(0) > 0.5)
    tight = opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = (area / tight.size) ** 0.5
    height, width = (max(4, round(side * factor)) for side in tight.shape)
    scaled = Image.fromarray(np.uint8(tight * 255)).resize(
        (width, height), Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    )
    return np.asarray(scaled, dtype=np.float32) / 255
