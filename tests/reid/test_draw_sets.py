"""The drawn sets: names and folders as published, the same for one seed, finished or drawn from scratch."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_sets import TINY

from nas.errors import UnknownName
from reid.draw import SIZES, STAMP, make_reid_sets

ONE = {"market1501": TINY["market1501"]}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_market_has_its_folders_names_distractors_and_junk(tiny_sets):
    home = tiny_sets / "market1501" / "Market-1501-v15.09.15"
    assert names(home) == ["bounding_box_test", "bounding_box_train", "query"]
    every = [name for folder in home.iterdir() for name in names(folder)]
    assert all(re.fullmatch(r"(-1|\d{4})_c[1-6]s[1-6]_\d{6}_\d{2}\.jpg", name) for name in every)
    gallery = names(home / "bounding_box_test")
    assert sum(name.startswith("0000_") for name in gallery) == 4
    assert sum(name.startswith("-1_") for name in gallery) == 3
    assert all(name.endswith("_00.jpg") for name in names(home / "query"))


def test_duke_has_its_names_and_distractors_of_their_own(tiny_sets):
    home = tiny_sets / "dukemtmc-reid" / "DukeMTMC-reID"
    every = [name for folder in home.iterdir() for name in names(folder)]
    assert all(re.fullmatch(r"\d{4}_c[1-8]_f\d{7}\.jpg", name) for name in every)
    searched = {name[:4] for name in names(home / "query")}
    assert len({name[:4] for name in names(home / "bounding_box_test")} - searched) == 4


def test_msmt17_lists_name_the_files(tiny_sets):
    home = tiny_sets / "msmt17" / "MSMT17_V1"
    listed = {
        part: (home / f"list_{part}.txt").read_text().splitlines() for part in ("train", "val", "query", "gallery")
    }
    assert [len(lines) for lines in listed.values()] == [60, 6, 14, 26]
    for part, lines in listed.items():
        for line in lines:
            path, label = line.split(" ")
            person = f"{int(label):04d}"
            pattern = rf"{person}/{person}_\d{{3}}_(0[1-9]|1[0-5])_\d{{4}}(morning|noon|afternoon)_\d{{4}}_\d\.jpg"
            assert re.fullmatch(pattern, path)
            assert (home / ("train" if part in ("train", "val") else "test") / path).is_file()


def test_every_query_has_a_match_under_another_camera(tiny_sets):
    home = tiny_sets / "market1501" / "Market-1501-v15.09.15"
    gallery = {(name[:4], name[6]) for name in names(home / "bounding_box_test")}
    for name in names(home / "query"):
        assert any(identity == name[:4] and camera != name[6] for identity, camera in gallery)


def test_one_seed_gives_one_set_and_another_seed_another(tiny_sets, tmp_path):
    home = make_reid_sets(tmp_path, seed=0, sizes=ONE)["market1501"]
    files = sorted(path.relative_to(home) for path in home.rglob("*.jpg"))
    drawn = tiny_sets / "market1501"
    assert files == sorted(path.relative_to(drawn) for path in drawn.rglob("*.jpg"))
    for name in files[::9]:
        assert np.array_equal(Image.open(home / name), Image.open(tiny_sets / "market1501" / name))
    other = make_reid_sets(tmp_path / "other", seed=1, sizes=ONE)["market1501"]
    assert files != sorted(path.relative_to(other) for path in other.rglob("*.jpg"))


def test_a_whole_set_is_left_alone_and_a_begun_one_drawn_anew(tiny_sets, tmp_path):
    shutil.copytree(tiny_sets / "market1501", tmp_path / "market1501")
    home = tmp_path / "market1501"
    victim = next((home / "Market-1501-v15.09.15" / "query").iterdir())
    victim.unlink()
    make_reid_sets(tmp_path, seed=0, sizes=ONE)
    assert not victim.exists()
    (home / STAMP).unlink()
    make_reid_sets(tmp_path, seed=0, sizes=ONE)
    assert victim.exists()
    assert json.loads((home / STAMP).read_text())["seed"] == 0


def test_unknown_sets_and_sizes_have_near_matches(tmp_path):
    with pytest.raises(UnknownName, match="market1501"):
        make_reid_sets(tmp_path, seed=0, sizes={"market1502": TINY["market1501"]})
    with pytest.raises(UnknownName, match="small"):
        make_reid_sets(tmp_path, seed=0, sizes="smal")


def test_the_market_size_has_the_published_counts():
    size = SIZES["market"]["market1501"]
    assert (size.train, size.query, size.gallery + size.distractors) == (12936, 3368, 15913)
    assert size.gallery + size.distractors + size.junk == 19732
