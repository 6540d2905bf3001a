"""What a camera adds to a person: background, light and tint, crop, and occluders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from nas.errors import require
from reid.figures import Identity, draw_identity, draw_pose, paint

# Real photographs that come with scikit-image; the ones that need a download are not used.
PHOTOGRAPHS = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel", "motorcycle_left", "rocket")

SOFTEN = 0.45  # contrast of the photographs: the place is out of focus, the person is not

_SCALE = 2  # everything is painted at twice the size and then reduced, which smooths the edges


@dataclass(frozen=True)
class Camera:
    """What all pictures of one camera share. Gains and the gamma act on values in 0..1."""

    places: tuple[tuple[str, float, float, float], ...]
    gains: tuple[float, float, float]
    gamma: float
    blur: float
    noise: float
    shade: float
    scale: float
    quality: int


def draw_camera(rng: Random) -> Camera:
    """A random camera: two places it looks at, its light and tint, its sharpness, how large people appear."""
    places = tuple((rng.choice(PHOTOGRAPHS), rng.random(), rng.random(), rng.uniform(0.3, 0.6)) for _ in range(2))
    light = rng.uniform(0.8, 1.1)
    red, green, blue = (light * rng.uniform(0.87, 1.13) for _ in range(3))
    return Camera(
        places=places,
        gains=(red, green, blue),
        gamma=rng.uniform(0.86, 1.18),
        blur=rng.uniform(0.0, 0.6),
        noise=rng.uniform(0.0, 0.03),
        shade=rng.uniform(-0.18, 0.18),
        scale=rng.uniform(0.82, 0.95),
        quality=rng.randrange(75, 95),
    )


def person_picture(person: Identity, camera: Camera, rng: Random, size: tuple[int, int]) -> Image.Image:
    """A picture of ``person`` as a detector would crop it from ``camera``; ``size`` is (width, height) in pixels."""
    canvas = _place(camera, rng, size)
    width, height = canvas.size
    tall = height * camera.scale * rng.uniform(0.93, 1.1)
    feet = (width * rng.uniform(0.42, 0.58), height * rng.uniform(0.94, 1.02))
    _shadow(canvas, feet, tall)
    paint(canvas, person, draw_pose(rng), feet, tall)
    if rng.random() < 0.2:
        _occlude(canvas, rng)
    return _expose(canvas, camera, rng, size)


def empty_picture(camera: Camera, rng: Random, size: tuple[int, int]) -> Image.Image:
    """A false detection: the place alone, or with only part of a person at its edge."""
    canvas = _place(camera, rng, size)
    width, height = canvas.size
    if rng.random() < 0.5:
        feet = (width * rng.choice((-0.05, 1.05)), height * rng.uniform(1.0, 1.6))
        paint(canvas, draw_identity(rng), draw_pose(rng), feet, height * rng.uniform(0.8, 1.3))
    return _expose(canvas, camera, rng, size)


@lru_cache(maxsize=len(PHOTOGRAPHS))
def _photograph(name: str) -> Image.Image:
    data = Path(str(require("skimage", "reid").__file__)).parent / "data"
    found = next(data.glob(f"{name}.*"))
    return ImageEnhance.Contrast(Image.open(found).convert("RGB")).enhance(SOFTEN)


def _place(camera: Camera, rng: Random, size: tuple[int, int]) -> Image.Image:
    """A part of one of the camera's photographs, a little elsewhere each time, with a drawn ground."""
    name, across, down, share = rng.choice(camera.places)
    photograph = _photograph(name)
    height = min(share * photograph.height, 2 * share * photograph.width)
    width = height * size[0] / size[1]
    left = (photograph.width - width) * min(1.0, max(0.0, across + rng.uniform(-0.08, 0.08)))
    top = (photograph.height - height) * min(1.0, max(0.0, down + rng.uniform(-0.08, 0.08)))
    target = (size[0] * _SCALE, size[1] * _SCALE)
    canvas = photograph.resize(target, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    tone = 90 + int(80 * across)
    ground = int(target[1] * rng.uniform(0.72, 0.85))
    canvas.paste(Image.new("RGB", (target[0], target[1] - ground), (tone, tone, tone - 12)), (0, ground))
    return canvas


def _shadow(canvas: Image.Image, feet: tuple[float, float], tall: float) -> None:
    x, y = feet
    dark = Image.new("L", canvas.size)
    ImageDraw.Draw(dark).ellipse((x - 0.16 * tall, y - 0.035 * tall, x + 0.16 * tall, y + 0.02 * tall), fill=110)
    canvas.paste((20, 20, 20), mask=dark)


def _occlude(canvas: Image.Image, rng: Random) -> None:
    """Something in front: a pole, a box at the bottom, or another passer-by."""
    width, height = canvas.size
    draw, tone = ImageDraw.Draw(canvas), rng.randrange(40, 200)
    kind = rng.choice(("pole", "box", "passer-by"))
    if kind == "pole":
        x = width * rng.uniform(0.2, 0.8)
        draw.rectangle((x, 0, x + width * 0.12, height), fill=(tone, tone, tone))
    elif kind == "box":
        x, top = width * rng.uniform(-0.1, 0.5), height * rng.uniform(0.6, 0.8)
        draw.rectangle((x, top, x + width * 0.6, height), fill=(tone, int(tone * 0.8), int(tone * 0.6)))
    else:
        feet = (width * rng.choice((rng.uniform(-0.1, 0.1), rng.uniform(0.9, 1.1))), height * rng.uniform(1.0, 1.1))
        paint(canvas, draw_identity(rng), draw_pose(rng), feet, height * rng.uniform(0.8, 1.0))


def _expose(canvas: Image.Image, camera: Camera, rng: Random, size: tuple[int, int]) -> Image.Image:
    """The camera's optics and electronics: reduce, blur, light, tint, shade, contrast, noise."""
    picture = canvas.resize(size, Image.Resampling.BOX)
    if camera.blur > 0.2:
        picture = picture.filter(ImageFilter.GaussianBlur(camera.blur))
    picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(0.8, 1.15))
    values = np.asarray(picture, np.float32) / 255
    gains = np.array(camera.gains, np.float32) * rng.uniform(0.85, 1.15)
    shade = 1 + camera.shade * np.linspace(-1, 1, size[0], dtype=np.float32)[None, :, None]
    values = np.clip(values * gains * shade, 0, 1) ** camera.gamma
    noise = np.random.Generator(np.random.PCG64(rng.getrandbits(64))).standard_normal(values.shape, np.float32)
    values = np.clip(values + camera.noise * noise, 0, 1)
    return Image.fromarray((values * 255).astype(np.uint8))
