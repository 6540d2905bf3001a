"""Shift, mirror and erase: what they do, how often, and that they depend on the position alone."""

from __future__ import annotations

import pytest
import torch

from nas.augment import normalise
from reid.augment import ERASED_AREA, ReidDraws
from reid.recipe import ReidRecipe

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)


def recipe(**options) -> ReidRecipe:
    return ReidRecipe(height=24, width=12, **options)


def pixels(count: int) -> torch.Tensor:
    return torch.randint(256, (count, 3, 24, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_batch_looks_the_same_whichever_way_it_is_cut():
    chosen = recipe(padding=3, erasing=0.5)
    draws = ReidDraws.of_epoch(chosen, 40, seed=5, epoch=2)
    whole = draws.apply(pixels(40), torch.arange(40), chosen, MEAN)
    part = draws.apply(pixels(40)[[7, 31]], torch.tensor([7, 31]), chosen, MEAN)
    assert torch.equal(part, whole[[7, 31]])


@pytest.mark.parametrize(("flip", "mirrored"), [(0.0, 0), (1.0, 50)])
def test_flip_mirrors_the_share_asked_for(flip, mirrored):
    chosen = recipe(flip=flip)
    out = ReidDraws.of_epoch(chosen, 50, seed=0, epoch=0).apply(pixels(50), torch.arange(50), chosen, MEAN)
    assert sum(torch.equal(a, b.flip(2)) for a, b in zip(out, pixels(50), strict=True)) == mirrored


def test_erasing_blanks_one_rectangle_of_zero_after_normalisation():
    chosen = recipe(flip=0.0, erasing=0.5)
    draws = ReidDraws.of_epoch(chosen, 400, seed=0, epoch=0)
    top, left, bottom, right = draws.erased.T
    area = ((bottom - top) * (right - left)).float() / (24 * 12)
    erased = area > 0
    assert 150 < int(erased.sum()) < 250
    assert area[erased].max() <= ERASED_AREA[1] + 0.1
    assert int(bottom.max()) <= 24
    assert int(right.max()) <= 12
    out = normalise(draws.apply(pixels(400), torch.arange(400), chosen, MEAN), MEAN, STD)
    index = int(erased.nonzero()[0])
    box = (index, slice(None), slice(int(top[index]), int(bottom[index])), slice(int(left[index]), int(right[index])))
    assert out[box].abs().max() < 0.5 / 255 / 0.2 + 1e-5
    unchanged = normalise(pixels(400), MEAN, STD)
    assert int((out[index] != unchanged[index]).any(0).sum()) <= int(area[index] * 24 * 12 + 0.5)
