"""What happens to training images: shift, mirror, erase. Drawn for a whole epoch at once, by position in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.augment import Draws, crop_and_flip
from nas.seeding import generator
from reid.recipe import ReidRecipe

# Zhong et al., "Random Erasing Data Augmentation", AAAI 2020: share of the area, and height over width, both uniform.
ERASED_AREA = (0.02, 0.4)
ERASED_ASPECT = (0.3, 1 / 0.3)
_ATTEMPTS = 16  # rectangles drawn per image; the first that fits is taken (a thin one may be longer than the image)


@dataclass(frozen=True)
class ReidDraws:
    """The draws of one epoch, a row per position in its order: shift and mirror, and the rectangle (n, 4) to erase.

    A rectangle is top, left, bottom, right in pixels; an empty one erases nothing.
    """

    views: Draws
    erased: Tensor

    @classmethod
    def of_epoch(cls, recipe: ReidRecipe, count: int, *, seed: int, epoch: int) -> ReidDraws:
        """Draws for ``count`` positions; position i is changed in the same way whichever process or batch it is in."""
        source = generator(seed, "augment", epoch)
        shifts = torch.randint(2 * recipe.padding + 1, (2, count), generator=source)
        flip = (torch.rand(count, generator=source) < recipe.flip).long()
        unused = torch.zeros(count, dtype=torch.long)
        return cls(Draws(shifts[0], shifts[1], flip, unused, unused), _rectangles(recipe, count, source))

    def apply(self, pixels: Tensor, positions: Tensor, recipe: ReidRecipe, mean: Sequence[float]) -> Tensor:
        """Change the uint8 images ``pixels`` (b, 3, h, w) at ``positions`` of the epoch; uint8 again.

        An erased rectangle takes the ``mean`` (0 to 1 scale), so that it is zero once the image is normalised.
        """
        out = crop_and_flip(pixels, self.views.rows(positions, pixels.device), recipe.padding)
        if not recipe.erasing:
            return out
        top, left, bottom, right = self.erased[positions].to(pixels.device).T[:, :, None]
        rows, columns = (torch.arange(size, device=pixels.device)[None] for size in pixels.shape[2:])
        inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None, :]
        grey = torch.tensor([round(255 * value) for value in mean], dtype=torch.uint8, device=pixels.device)
        return torch.where(inside[:, None], grey[None, :, None, None], out)


def _rectangles(recipe: ReidRecipe, count: int, source: torch.Generator) -> Tensor:
    """(count, 4) rectangles, of which a share ``recipe.erasing`` is not empty."""
    if not recipe.erasing:
        return torch.zeros(count, 4, dtype=torch.long)
    area, aspect, down, across = torch.rand(4, count, _ATTEMPTS, generator=source)
    target = recipe.height * recipe.width * (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0]))
    ratio = ERASED_ASPECT[0] + aspect * (ERASED_ASPECT[1] - ERASED_ASPECT[0])
    height, width = (target * ratio).sqrt().round(), (target / ratio).sqrt().round()
    fits = (height < recipe.height) & (width < recipe.width)
    top, left = (down * (recipe.height - height + 1)).floor(), (across * (recipe.width - width + 1)).floor()
    boxes = torch.stack([top, left, top + height, left + width], dim=2).long()
    first = fits.int().argmax(dim=1)
    chosen = boxes[torch.arange(count), first]
    erase = (torch.rand(count, generator=source) < recipe.erasing) & fits.any(dim=1)
    return torch.where(erase[:, None], chosen, 0)
