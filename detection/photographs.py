"""The photographs that scikit-image and scikit-learn package: real backgrounds that need no download.

Training and validation draw on different photographs, so a detector cannot learn the backgrounds by heart.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

import numpy as np
from PIL import Image

from nas.errors import NaswildError, require

_SKIMAGE = ("skimage", "data")
_SKLEARN = ("sklearn.datasets", "images")

# Pictures with writing or figures on them (page, text, clock, coins) are left out: they would be unlabelled digits.
PHOTOGRAPHS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "train": (
        (*_SKIMAGE, "astronaut.png"),
        (*_SKIMAGE, "camera.png"),
        (*_SKIMAGE, "chelsea.png"),
        (*_SKIMAGE, "coffee.png"),
        (*_SKIMAGE, "grass.png"),
        (*_SKIMAGE, "hubble_deep_field.jpg"),
        (*_SKIMAGE, "ihc.png"),
        (*_SKIMAGE, "rocket.jpg"),
    ),
    "val": (
        (*_SKLEARN, "china.jpg"),
        (*_SKLEARN, "flower.jpg"),
        (*_SKIMAGE, "gravel.png"),
        (*_SKIMAGE, "moon.png"),
        (*_SKIMAGE, "motorcycle_left.png"),
        (*_SKIMAGE, "retina.jpg"),
    ),
}


def load_photographs(part: Literal["train", "val"]) -> dict[str, np.ndarray]:
    """The photographs of a part by file name, each (H, W, 3) uint8."""
    return {name: _read(package, folder, name) for package, folder, name in PHOTOGRAPHS[part]}


def _read(package: str, folder: str, name: str) -> np.ndarray:
    require(package, "detection")
    path = files(package) / folder / name
    if not path.is_file():
        raise NaswildError(f"{package} no longer packages {name}; install the version in constraints.txt")
    with path.open("rb") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
