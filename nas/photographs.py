"""ImageNet's augmentation, one photograph at a time: random resized crop, flip, colour jitter (section 5.3.2).

The draws of a photograph depend on (seed, epoch, index) alone, so worker processes and resumed runs agree.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from nas.seeding import derive_seed
from nas.train_recipe import Augmentation

ASPECT = (3 / 4, 4 / 3)  # width to height of the crop, as in the Inception papers
ATTEMPTS = 10  # draws of a crop before the largest central one is taken


def augment_photograph(
    image: Image.Image, size: int, recipe: Augmentation, *, seed: int, epoch: int, index: int
) -> Tensor:
    """A random view of ``image`` as uint8 (3, size, size)."""
    source = np.random.default_rng(derive_seed(seed, "photograph", epoch, index))
    top, left, height, width = random_crop(image.height, image.width, recipe.area, source)
    view = transform.resized_crop(image, top, left, height, width, [size, size], antialias=True)
    if recipe.flip and source.random() < 0.5:
        view = transform.horizontal_flip(view)
    view = jitter(view, recipe.colour_jitter, source)
    return torch.from_numpy(np.asarray(view).copy()).permute(2, 0, 1)


def random_crop(
    height: int, width: int, area: tuple[float, float], source: np.random.Generator
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a crop with a uniform share of the area and a log-uniform aspect ratio."""
    for _ in range(ATTEMPTS):
        target = height * width * source.uniform(*area)
        aspect = math.exp(source.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        crop_width, crop_height = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top, left = source.integers(height - crop_height + 1), source.integers(width - crop_width + 1)
            return int(top), int(left), crop_height, crop_width
    crop_width = min(width, round(height * ASPECT[1]))
    crop_height = min(height, round(width / ASPECT[0]))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def jitter(
    image: Image.Image, strengths: tuple[float, float, float, float], source: np.random.Generator
) -> Image.Image:
    """Brightness, contrast, saturation (factor 1 +- strength) and hue (+- strength of the circle), in random order."""
    adjust = (
        transform.adjust_brightness,
        transform.adjust_contrast,
        transform.adjust_saturation,
        transform.adjust_hue,
    )
    for kind in source.permutation(len(adjust)):
        strength = strengths[kind]
        middle = 0.0 if adjust[kind] is transform.adjust_hue else 1.0
        if strength:
            image = adjust[kind](image, source.uniform(middle - strength, middle + strength))
    return image
