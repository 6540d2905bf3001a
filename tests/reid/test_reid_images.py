"""Reading images: the same from memory and from workers, damaged files named and tried once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nas.errors import NaswildError
from reid.images import ImageLoader, read_image

CPU = torch.device("cpu")


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(rng.integers(256, size=(40, 20, 3), dtype=np.uint8)).save(tmp_path / f"{index:02d}.png")
    return [str(path) for path in sorted(tmp_path.iterdir())]


def test_image_is_resized_to_height_and_width(paths):
    assert read_image(paths[0], 32, 16).shape == (3, 32, 16)
    whole = read_image(paths[0], 40, 20)
    assert np.array_equal(whole.permute(1, 2, 0), np.asarray(Image.open(paths[0])))


@pytest.mark.parametrize("options", [{}, {"resident_bytes": 0}, {"resident_bytes": 0, "workers": 2}])
def test_batches_come_in_the_order_asked_for(paths, options):
    chunks = [torch.tensor([3, 1]), torch.tensor([11, 0, 3])]
    batches = list(ImageLoader(paths, 32, 16, CPU, **options).batches(chunks))
    for chunk, batch in zip(chunks, batches, strict=True):
        assert torch.equal(batch, torch.stack([read_image(paths[index], 32, 16) for index in chunk]))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("damage", ["empty", "text", "cut", "missing"])
@pytest.mark.parametrize("options", [{}, {"resident_bytes": 0, "workers": 1}])
def test_a_damaged_image_is_reported_with_its_path(paths, damage, options):
    from pathlib import Path

    victim = Path(paths[5])
    content = {"empty": b"", "text": b"no image", "cut": victim.read_bytes()[:300]}.get(damage)
    victim.unlink()
    if content is not None:
        victim.write_bytes(content)
    with pytest.raises(NaswildError, match=f"cannot read {victim}"):
        list(ImageLoader(paths, 32, 16, CPU, **options).batches([torch.arange(12)]))
