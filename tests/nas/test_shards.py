"""Tar shards: the same images as the loose files they were packed from."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas import listing
from nas.errors import NaswildError
from nas.proxies import load_proxy


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def pack_webdataset(root: Path) -> None:
    """Images 0 to 7 in two training shards and 8, 9 in a test shard; their classes are 10 and 2 in turn."""
    for shard, values in (("set-train-0", range(4)), ("set-train-1", range(4, 8)), ("set-validation-0", range(8, 10))):
        members = {}
        for value in values:
            members[f"{value:04}.png"] = png(value)
            members[f"{value:04}.cls"] = b"2" if value % 2 else b"10"
        pack(root / f"{shard}.tar", members)


@pytest.mark.parametrize("limit", [2**20, 0], ids=["in memory", "on demand"])
def test_webdataset_shards(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(listing, "MEMORY_LIMIT", limit)
    pack_webdataset(tmp_path)
    proxy = load_proxy(tmp_path)
    assert proxy.classes == ("2", "10")
    assert proxy.train.batch(torch.arange(8))[:, 0, 0, 0].tolist() == list(range(8))
    assert proxy.train.labels.tolist() == [1, 0] * 4
    assert proxy.test.batch(torch.tensor([1, 0]))[:, 2, 7, 7].tolist() == [9, 8]


def test_one_archive_per_class(tmp_path):
    for split, count in (("train", 3), ("val", 1)):
        for label, name in enumerate(("n01", "n02")):
            pack(tmp_path / split / f"{name}.tar", {f"{i}.png": png(100 * label + i) for i in range(count)})
    proxy = load_proxy("imagenet", root=tmp_path)
    assert (proxy.name, proxy.classes) == ("imagenet", ("n01", "n02"))
    assert proxy.train.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert proxy.test.labels.tolist() == [0, 1]


def test_corrupt_member_is_named_with_its_archive(tmp_path):
    pack_webdataset(tmp_path)
    pack(tmp_path / "set-train-1.tar", {"0004.png": b"damaged", "0004.cls": b"10"})
    with pytest.raises(NaswildError, match=r"set-train-1\.tar:0004\.png"):
        load_proxy(tmp_path)


def test_archive_that_is_cut_short_is_said(tmp_path):
    pack_webdataset(tmp_path)
    (tmp_path / "set-train-1.tar").write_bytes(b"x" * 700)
    with pytest.raises(NaswildError, match=r"set-train-1\.tar is not a tar archive"):
        load_proxy(tmp_path)


def test_image_without_class_is_said(tmp_path):
    pack_webdataset(tmp_path)
    pack(tmp_path / "set-train-1.tar", {"a.png": png(1), "a.cls": b"2", "b.png": png(2)})
    with pytest.raises(NaswildError, match=r"1 images have no \.cls beside them, the first is b"):
        load_proxy(tmp_path)


def test_missing_split_is_said(tmp_path):
    pack(tmp_path / "train" / "n01.tar", {"0.png": png(0)})
    with pytest.raises(NaswildError, match="none with val or test in its path"):
        load_proxy(tmp_path)
