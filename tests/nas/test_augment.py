"""Augmentation against its definition, written out image by image."""

import numpy as np
import pytest
import torch
from PIL import Image

from nas.augment import Draws, augment, crop_and_flip, cutout_mask, normalise
from nas.images import MemoryImages
from nas.loading import Loader
from nas.photographs import augment_photograph, jitter, random_crop
from nas.train_recipe import Augmentation

MEAN, STD = (0.2, 0.4, 0.6), (0.5, 0.25, 0.3)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (12, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_crop_and_flip_equal_plain_slicing(pixels):
    recipe = Augmentation(padding=2)
    draws = Draws.of_epoch(recipe, len(pixels), 8, seed=1, epoch=0)
    got = crop_and_flip(pixels, draws, padding=2)
    for i, image in enumerate(pixels):
        padded = torch.zeros(3, 12, 12, dtype=torch.uint8)
        padded[:, 2:10, 2:10] = image
        top, left = int(draws.top[i]), int(draws.left[i])
        window = padded[:, top : top + 8, left : left + 8]
        assert torch.equal(got[i], window.flip(2) if draws.flip[i] else window)


def test_draws_reach_every_corner_and_both_sides():
    draws = Draws.of_epoch(Augmentation(padding=4), 2000, 32, seed=0, epoch=0)
    for corner in (draws.top, draws.left):
        assert set(corner.tolist()) == set(range(9))
    assert 0.45 < draws.flip.double().mean() < 0.55
    assert set(draws.row.tolist()) == set(range(32))
    assert not Draws.of_epoch(Augmentation(flip=False), 100, 8, seed=0, epoch=0).flip.any()


def test_draws_depend_on_seed_and_epoch():
    recipe = Augmentation()
    first, again, later, other = (
        Draws.of_epoch(recipe, 50, 32, seed=seed, epoch=epoch).top for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    assert not torch.equal(first, other)


def test_an_image_looks_the_same_in_every_batch(pixels):
    loader = Loader(MemoryImages(pixels, torch.arange(12)), 8, MEAN, STD, torch.device("cpu"))
    recipe = Augmentation(padding=2, cutout=4)
    (whole, _), *_ = loader.augmented([torch.arange(12)], recipe, seed=3, epoch=5)
    parts = [
        batch for batch, _ in loader.augmented([torch.tensor([7, 2]), torch.tensor([11])], recipe, seed=3, epoch=5)
    ]
    assert torch.equal(torch.cat(parts), whole[[7, 2, 11]])


def test_normalise_is_value_minus_mean_over_deviation(pixels):
    expected = (pixels.double() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    got = normalise(pixels, MEAN, STD)
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-5)


def place(row: int, column: int) -> Draws:
    zero = torch.zeros(1, dtype=torch.int64)
    return Draws(zero, zero, zero, torch.tensor([row]), torch.tensor([column]))


@pytest.mark.parametrize(
    ("row", "column", "area"), [(16, 16, 256), (8, 24, 256), (0, 0, 64), (31, 16, 9 * 16), (0, 31, 72)]
)
def test_cutout_blanks_a_square_that_the_border_cuts_off(row, column, area):
    mask = cutout_mask(place(row, column), 16, 32)
    assert int((mask == 0).sum()) == area


def test_cutout_is_zero_after_normalisation(pixels):
    recipe = Augmentation(crop="none", flip=False, cutout=4)
    out = augment(pixels[:1], place(4, 4), recipe, MEAN, STD)
    assert (out[0, :, 2:6, 2:6] == 0).all()
    torch.testing.assert_close(out[0, :, 0], normalise(pixels[:1], MEAN, STD)[0, :, 0])


def photograph() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def test_photograph_depends_on_seed_epoch_and_index_alone():
    recipe = Augmentation(crop="resized", colour_jitter=(0.4, 0.4, 0.4, 0.2))

    def view(**place):
        return augment_photograph(photograph(), 24, recipe, **place)

    first = view(seed=0, epoch=0, index=0)
    assert first.shape == (3, 24, 24)
    assert first.dtype == torch.uint8
    torch.manual_seed(99)  # the global generators have no say
    assert torch.equal(first, view(seed=0, epoch=0, index=0))
    for other in (
        {"seed": 1, "epoch": 0, "index": 0},
        {"seed": 0, "epoch": 1, "index": 0},
        {"seed": 0, "epoch": 0, "index": 1},
    ):
        assert not torch.equal(first, view(**other))


def test_random_crop_has_the_area_and_aspect_asked_for():
    source = np.random.default_rng(0)
    shares, aspects = [], []
    for _ in range(500):
        top, left, height, width = random_crop(400, 500, (0.08, 1.0), source)
        assert 0 <= top <= 400 - height
        assert 0 <= left <= 500 - width
        shares.append(height * width / 200_000)
        aspects.append(width / height)
    assert 0.07 < min(shares) < 0.12
    assert max(shares) > 0.8
    assert 0.74 < min(aspects) < max(aspects) < 1.35


def test_jitter_changes_brightness_within_its_strength():
    grey = Image.new("RGB", (2, 2), (100, 100, 100))
    values = [np.asarray(jitter(grey, (0.4, 0, 0, 0), np.random.default_rng(i)))[0, 0, 0] for i in range(200)]
    assert 60 <= min(values) < 70
    assert 130 < max(values) <= 140
    assert np.array_equal(np.asarray(jitter(grey, (0, 0, 0, 0), np.random.default_rng(0))), np.asarray(grey))
