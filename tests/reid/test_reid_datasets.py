"""Reading the sets through torchreid's classes: what they should find, and what is caught before they are asked."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from backbones.torchreid_import import load_torchreid
from nas.errors import NaswildError, UnknownName
from reid.datasets import LAYOUTS, load_reid_data


def copy(tiny_sets: Path, target: Path, name: str = "market1501") -> Path:
    folder = LAYOUTS[name].folder.split("/")[0]
    shutil.copytree(tiny_sets / folder, target / folder)
    return target / LAYOUTS[name].folder


@pytest.mark.parametrize(
    ("name", "title", "counts", "cameras"),
    [
        ("market1501", "Market-1501-v15.09.15", (60, 14, 30), 6),
        ("dukemtmcreid", "DukeMTMC-reID", (60, 14, 30), 8),
        ("msmt17", "MSMT17_V1 (train)", (60, 14, 26), 15),
    ],
)
def test_counts_labels_and_cameras(tiny_sets, name, title, counts, cameras):
    data = load_reid_data(tiny_sets, name)
    assert data.title == title
    assert (len(data.train), len(data.query), len(data.gallery)) == counts
    assert {person.identity for person in data.train} == set(range(12))
    assert all(0 <= person.camera < cameras for part in (data.train, data.query, data.gallery) for person in part)
    assert re.search("the published set has", data.notes[0])


@pytest.mark.parametrize("name", ["market1501", "dukemtmcreid", "msmt17"])
def test_same_rows_as_torchreids_class_in_sorted_order(tiny_sets, name):
    data = load_reid_data(tiny_sets, name)
    source = load_torchreid().data.datasets.init_image_dataset(name, root=str(tiny_sets), verbose=False)
    assert [tuple(person) for person in data.query] == sorted(row[:3] for row in source.query)
    assert [tuple(person) for person in data.gallery] == sorted(row[:3] for row in source.gallery)
    assert [person.path for person in data.train] == sorted(row[0] for row in source.train)


def test_labels_follow_the_identities_whatever_order_the_file_system_has(tiny_sets, monkeypatch):
    """torchreid numbers identities in the order of a set of them; the label must be the identity's rank."""
    data = load_reid_data(tiny_sets, "market1501")
    numbers = sorted({int(Path(person.path).name[:4]) for person in data.train})
    assert all(numbers[person.identity] == int(Path(person.path).name[:4]) for person in data.train)
    import glob

    listing = glob.glob
    monkeypatch.setattr(glob, "glob", lambda *a, **k: listing(*a, **k)[::-1])
    assert load_reid_data(tiny_sets, "market1501") == data


def test_junk_is_left_out_and_distractors_stay(tiny_sets):
    identities = [person.identity for person in load_reid_data(tiny_sets, "market1501").gallery]
    assert -1 not in identities
    assert identities.count(0) == 4


def test_validation_list_joins_the_training_images_and_nothing_else_does(tiny_sets):
    train, both = (load_reid_data(tiny_sets, "msmt17", part) for part in ("train", "train+val"))
    assert both.title == "MSMT17_V1 (train+val)"
    assert len(both.train) == len(train.train) + 6
    assert both.query == train.query
    assert both.version != train.version
    assert all("/train/" in person.path for person in both.train)


def test_msmt17_versions_are_told_apart_and_not_mixed(tiny_sets, tmp_path):
    first = copy(tiny_sets, tmp_path, "msmt17") / "MSMT17_V1"
    second = first.parent / "MSMT17_V2"
    shutil.copytree(first, second)
    with pytest.raises(NaswildError, match="MSMT17_V1 and MSMT17_V2"):
        load_reid_data(tmp_path, "msmt17")
    shutil.rmtree(first)
    with pytest.raises(NaswildError, match="lacks mask_train_v2"):
        load_reid_data(tmp_path, "msmt17")
    (second / "train").rename(second / "mask_train_v2")
    (second / "test").rename(second / "mask_test_v2")
    assert load_reid_data(tmp_path, "msmt17").title == "MSMT17_V2 (train)"


@pytest.mark.parametrize("name", ["market1501", "dukemtmcreid", "msmt17"])
def test_a_missing_set_is_said_and_never_fetched(tmp_path, name):
    with pytest.raises(NaswildError, match=f"no {name} at") as error:
        load_reid_data(tmp_path, name)
    assert list(tmp_path.iterdir()) == []
    assert ("withdrawn by its authors in 2019" in str(error.value)) == (name == "dukemtmcreid")


def test_missing_folder_strange_name_and_missing_list_are_named(tiny_sets, tmp_path):
    home = copy(tiny_sets, tmp_path)
    (home / "bounding_box_train" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(NaswildError, match=r"bounding_box_train: 1 entries .* 'holiday.jpg'"):
        load_reid_data(tmp_path, "market1501")
    shutil.rmtree(home / "query")
    with pytest.raises(NaswildError, match="lacks query"):
        load_reid_data(tmp_path, "market1501")
    (copy(tiny_sets, tmp_path, "msmt17") / "MSMT17_V1" / "list_val.txt").unlink()
    with pytest.raises(NaswildError, match=r"lacks list_val\.txt"):
        load_reid_data(tmp_path, "msmt17")


def test_a_listed_file_that_is_missing_is_named(tiny_sets, tmp_path):
    home = copy(tiny_sets, tmp_path, "msmt17") / "MSMT17_V1"
    victim = home / "test" / (home / "list_query.txt").read_text().split(" ")[0]
    victim.unlink()
    with pytest.raises(NaswildError, match=f"{victim.name} is listed but not there"):
        load_reid_data(tmp_path, "msmt17")


@pytest.mark.parametrize("folder", ["run_3_c4", "sets [new]"])
def test_paths_that_torchreid_would_misread_are_refused(tiny_sets, tmp_path, folder):
    copy(tiny_sets, tmp_path / folder)
    with pytest.raises(NaswildError, match="rename"):
        load_reid_data(tmp_path / folder, "market1501")


def test_the_version_changes_with_a_file(tiny_sets, tmp_path):
    home = copy(tiny_sets, tmp_path)
    before = load_reid_data(tmp_path, "market1501").version
    assert before == load_reid_data(tiny_sets, "market1501").version
    victim = next((home / "query").iterdir())
    os.truncate(victim, 100)
    assert load_reid_data(tmp_path, "market1501").version != before


def test_unknown_set_has_near_matches(tmp_path):
    with pytest.raises(UnknownName, match="market1501"):
        load_reid_data(tmp_path, "market-1501")


def test_an_empty_folder_another_format_and_an_identity_beyond_the_set_are_said(tiny_sets, tmp_path):
    home = copy(tiny_sets, tmp_path)
    first = sorted((home / "query").iterdir())[0]
    stranger = first.rename(first.with_name("1502" + first.name[4:]))
    with pytest.raises(NaswildError, match=r"query: 1 images have an identity above 1501.* '1502_c"):
        load_reid_data(tmp_path, "market1501")
    stranger.rename(first.with_suffix(".png"))
    with pytest.raises(NaswildError, match=r"query holds 1 images that do not end in \.jpg.*\.png"):
        load_reid_data(tmp_path, "market1501")
    for image in (home / "query").iterdir():
        image.unlink()
    with pytest.raises(NaswildError, match="query has no images"):
        load_reid_data(tmp_path, "market1501")


@pytest.mark.parametrize("layout", ["market1501", ".", "Market-1501-v15.09.15"])
def test_a_set_that_lies_elsewhere_is_found_and_its_place_told(tiny_sets, tmp_path, layout):
    home = copy(tiny_sets, tmp_path / "whole")
    shutil.copytree(home, tmp_path / "given" / layout, dirs_exist_ok=True)
    place, wanted = (tmp_path / "given" / layout).resolve(), tmp_path / "given" / LAYOUTS["market1501"].folder
    with pytest.raises(NaswildError, match=re.escape(f"move what is in {place} to {wanted}")):
        load_reid_data(tmp_path / "given", "market1501")
