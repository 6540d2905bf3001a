"""The data sets: fixed splits, exact pixels, damaged files named, content hashed."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas import imagefolder, listing
from nas.errors import NaswildError, UnknownName
from nas.images import IGNORED, CorruptImages, FileImages, MemoryImages, channel_statistics
from nas.loading import Loader
from nas.proxies import load_proxy


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (16, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes, cat red and dog blue, four images to train and two to test in each."""
    for name, colour in (("cat", (250, 0, 0)), ("dog", (0, 0, 250))):
        for split, count in (("train", 4), ("val", 2)):
            for i in range(count):
                paint(tmp_path / split / name / f"{i}.png", colour)
    return tmp_path


def test_digits_split_is_fixed_and_stratified():
    proxy = load_proxy("digits", image_size=16)
    assert (len(proxy.train), len(proxy.test)) == (1437, 360)
    assert proxy.train.pixels.shape == (1437, 3, 16, 16)
    assert proxy.train.pixels.dtype == torch.uint8
    assert proxy.test.labels.bincount().tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert torch.equal(proxy.train.pixels[:, 0], proxy.train.pixels[:, 2])
    assert proxy.version == load_proxy("digits", image_size=32).version  # of the content, not of the size asked for


def test_mean_and_deviation_are_those_of_the_training_pixels():
    proxy = load_proxy("digits", image_size=8)
    values = proxy.train.pixels.double() / 255
    assert proxy.mean == pytest.approx(values.mean(dim=(0, 2, 3)).tolist(), abs=1e-4)
    assert proxy.std == pytest.approx(values.std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-4)


def test_channel_statistics_keep_channels_apart():
    pixels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    pixels[:, 1] = 255
    pixels[0, 2] = 255
    assert channel_statistics(pixels) == ((0.0, 1.0, 0.5), (0.0, 0.0, 0.5))


def test_class_folders_with_a_val_split(tree):
    proxy = load_proxy(tree)
    assert proxy.classes == ("cat", "dog")
    assert (len(proxy.train), len(proxy.test), proxy.image_size) == (8, 4, 16)
    assert proxy.train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert proxy.test.batch(torch.tensor([0, 3]))[:, :, 0, 0].tolist() == [[250, 0, 0], [0, 0, 250]]


def test_one_level_is_split_by_hash_and_new_files_move_no_old_one(tmp_path):
    for name in ("cat", "dog"):
        for i in range(30):
            paint(tmp_path / name / f"{i}.png", (i, i, i), (4, 4))
    before = imagefolder.list_folder(tmp_path)
    for i in range(30, 40):
        paint(tmp_path / "dog" / f"{i}.png", (i, i, i), (4, 4))
    after = imagefolder.list_folder(tmp_path)
    assert set(before.test) <= set(after.test)
    assert set(before.train) <= set(after.train)
    assert 0.1 < len(before.test) / 60 < 0.3


def test_version_changes_with_one_byte_of_one_image(tree):
    version = load_proxy(tree).version
    assert version == load_proxy(tree).version
    paint(tree / "val" / "dog" / "1.png", (0, 1, 250))
    assert load_proxy(tree).version != version


def test_all_corrupt_images_are_in_one_error(tree):
    (tree / "train" / "cat" / "2.png").write_bytes(b"no image at all")
    whole = (tree / "val" / "dog" / "0.png").read_bytes()
    (tree / "val" / "dog" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptImages) as caught:
        load_proxy(tree)
    assert [Path(path).relative_to(tree).as_posix() for path in caught.value.paths] == [
        "train/cat/2.png",
        "val/dog/0.png",
    ]
    assert "2 of 12 images" in str(caught.value)


def test_corrupt_images_can_be_left_out_and_are_listed(tree):
    (tree / "train" / "cat" / "2.png").write_bytes(b"")
    proxy = load_proxy(tree, corrupt="skip")
    assert proxy.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert proxy.train.corrupt == (str(tree / "train" / "cat" / "2.png"),)


@pytest.fixture
def on_demand(tree, monkeypatch):
    """The tree as a set too large for memory."""
    monkeypatch.setattr(listing, "MEMORY_LIMIT", 0)
    return tree


def test_large_sets_are_decoded_on_demand_to_the_same_pixels(on_demand):
    proxy = load_proxy(on_demand, image_size=16)
    assert isinstance(proxy.train, FileImages)
    assert proxy.train.batch(torch.tensor([0, 7]))[:, :, 3, 3].tolist() == [[250, 0, 0], [0, 0, 250]]
    assert proxy.train.subset(torch.tensor([7])).labels.tolist() == [1]


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_image_met_on_demand_names_its_path(on_demand, workers):
    bad = on_demand / "train" / "cat" / "1.png"
    bad.write_bytes(b"damaged")
    proxy = load_proxy(on_demand, image_size=16)
    loader = Loader(proxy.train, 16, proxy.mean, proxy.std, torch.device("cpu"), workers)
    with pytest.raises(CorruptImages, match=r"1\.png"):
        list(loader.plain([torch.arange(8)]))


def test_corrupt_image_met_on_demand_is_ignored_and_counted_when_skipping(on_demand):
    bad = on_demand / "train" / "cat" / "1.png"
    bad.write_bytes(b"damaged")
    proxy = load_proxy(on_demand, image_size=16, corrupt="skip")
    loader = Loader(proxy.train, 16, proxy.mean, proxy.std, torch.device("cpu"))
    _, labels = next(loader.plain([torch.arange(8)]))
    assert labels.tolist() == [0, IGNORED, 0, 0, 1, 1, 1, 1]
    assert loader.corrupt == {str(bad)}


def test_class_subset_is_seeded_and_named(tmp_path):
    for name in "abcdefghij":
        for split in ("train", "test"):
            paint(tmp_path / split / name / "0.png", (1, 2, 3), (4, 4))
    drawn = [load_proxy(tmp_path, subset_classes=4, subset_seed=seed).classes for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 4
    assert load_proxy(tmp_path, subset_classes=4).train.labels.tolist() == [0, 1, 2, 3]


def write_cifar(folder: Path, rng: np.random.Generator) -> np.ndarray:
    """CIFAR-10's official layout with two images per batch; returns the training pixels, (10, 3072)."""
    folder.mkdir()
    rows = []
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        data = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        rows.append(data)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [0, 1]}, protocol=2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "automobile"]}, protocol=2))
    return np.concatenate(rows[:5])


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_official_cifar_files_in_the_folder_or_its_parent(tmp_path, inside):
    pixels = write_cifar(tmp_path / "cifar-10-batches-py", np.random.default_rng(0))
    proxy = load_proxy("cifar10", root=tmp_path / inside)
    assert proxy.classes == ("airplane", "automobile")
    assert isinstance(proxy.train, MemoryImages)
    assert np.array_equal(proxy.train.pixels.numpy().reshape(10, 3072), pixels)
    assert proxy.train.labels.tolist() == [0, 1] * 5


class Malicious:
    def __reduce__(self):
        return (print, ("this must not run",))


def test_official_files_cannot_run_code(tmp_path, capsys):
    write_cifar(tmp_path / "cifar-10-batches-py", np.random.default_rng(0))
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(NaswildError, match="test_batch is damaged"):
        load_proxy("cifar10", root=tmp_path)
    assert capsys.readouterr().out == ""


def test_cifar_as_class_folders_keeps_its_name(tree):
    assert load_proxy("cifar10", root=tree).name == "cifar10"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_proxy("cifar10"), "name their folder"),
        (lambda: load_proxy("some/where"), "not a folder"),
        (lambda: load_proxy("imagenet", root="some/where"), "not a folder"),
    ],
)
def test_what_is_missing_is_said(call, message):
    with pytest.raises(NaswildError, match=message):
        call()


def test_unknown_name_shows_near_ones():
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        load_proxy("digit")
