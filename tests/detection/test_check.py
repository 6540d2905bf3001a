"""Every fault of a COCO-format set is found, all of them at once, and the serious ones stop a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detection.check import ERRORS, check_coco, refuse_broken, summarise
from detection.data import CocoData
from nas.errors import NaswildError


@pytest.fixture
def content() -> dict[str, Any]:
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (1, 2)],
        "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "plate"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": i, "bbox": [2.0, 3.0, 10.0, 8.0], "area": 80.0, "iscrowd": 0}
            for i in (1, 2)
        ],
    }


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., CocoData]:
    def write(train: dict[str, Any], val: dict[str, Any] | None = None) -> CocoData:
        for part, entries in (("train", train), ("val", val if val is not None else train)):
            (tmp_path / part).mkdir(exist_ok=True)
            for image in entries["images"]:
                Image.new("RGB", (40, 30)).save(tmp_path / part / image["file_name"])
            (tmp_path / "annotations").mkdir(exist_ok=True)
            (tmp_path / "annotations" / f"instances_{part}.json").write_text(json.dumps(entries))
        return CocoData.open(tmp_path)

    return write


def kinds(data: CocoData, part: str = "train") -> set[str]:
    return {problem.kind for problem in check_coco(data) if problem.part == part}


def test_a_sound_set_has_no_problems(content: dict[str, Any], build: Callable[..., CocoData]) -> None:
    assert check_coco(build(content)) == []
    assert summarise([]) == "no problems found"


FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "wrong size": lambda c: c["images"][0].update(width=41),
    "duplicate image id": lambda c: c["images"][1].update(id=1),
    "duplicate annotation id": lambda c: c["annotations"][1].update(id=1),
    "duplicate category": lambda c: c["categories"][1].update(name="cell"),
    "unknown image": lambda c: c["annotations"][0].update(image_id=9),
    "unknown category": lambda c: c["annotations"][0].update(category_id=9),
    "box outside": lambda c: c["annotations"][0].update(bbox=[35.0, 3.0, 10.0, 8.0]),
    "empty box": lambda c: c["annotations"][0].update(bbox=[2.0, 3.0, 0.0, 8.0]),
    "empty category": lambda c: c["annotations"].pop(),
    "duplicate category id": lambda c: c["categories"][1].update(id=1),
    "missing area": lambda c: c["annotations"][0].pop("area"),
    "no boxes": lambda c: c["annotations"].clear(),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_named(kind: str, content: dict[str, Any], build: Callable[..., CocoData]) -> None:
    FAULTS[kind](content)
    assert kind in kinds(build(content))


def test_missing_and_unreadable_images_are_listed(
    content: dict[str, Any], build: Callable[..., CocoData], tmp_path: Path
) -> None:
    data = build(content)
    (tmp_path / "train" / "1.png").unlink()
    (tmp_path / "train" / "2.png").write_bytes(b"no picture")
    found = {problem.kind: problem.detail for problem in check_coco(data)}
    assert "1.png" in found["missing image"]
    assert "2.png" in found["unreadable image"]


def test_a_box_may_reach_one_pixel_out(content: dict[str, Any], build: Callable[..., CocoData]) -> None:
    content["annotations"][0]["bbox"] = [30.0, 3.0, 11.0, 8.0]
    assert check_coco(build(content)) == []


def test_an_image_in_two_parts_is_a_leak(
    content: dict[str, Any], build: Callable[..., CocoData], tmp_path: Path
) -> None:
    build(content)
    (tmp_path / "train").rename(tmp_path / "images")  # one folder for both parts
    for name in ("1.png", "2.png"):
        (tmp_path / "val" / name).unlink()
    (tmp_path / "val").rmdir()
    assert "image in two parts" in kinds(CocoData.open(tmp_path), "val")


def test_categories_must_be_the_same_in_all_parts(content: dict[str, Any], build: Callable[..., CocoData]) -> None:
    other = json.loads(json.dumps(content))
    other["categories"][1]["name"] = "platelet"
    assert "categories differ" in kinds(build(content, other), "val")


def test_all_errors_are_refused_in_one_message(content: dict[str, Any], build: Callable[..., CocoData]) -> None:
    FAULTS["unknown image"](content)
    FAULTS["duplicate annotation id"](content)
    with pytest.raises(NaswildError, match="duplicate annotation id") as caught:
        refuse_broken(build(content))
    assert "unknown image" in str(caught.value)


def test_warnings_do_not_stop_a_run(content: dict[str, Any], build: Callable[..., CocoData]) -> None:
    FAULTS["box outside"](content)
    assert "box outside" not in ERRORS
    refuse_broken(build(content))


def test_a_long_list_is_cut_with_its_count(content: dict[str, Any], build: Callable[..., CocoData]) -> None:
    entry = content["annotations"][0]
    content["annotations"] += [dict(entry, id=10 + i, image_id=77) for i in range(15)]
    text = summarise(check_coco(build(content)), limit=4)
    assert "unknown image (30)" in text  # 15 in each part
    assert "... and 26 more" in text


def test_a_folder_without_a_part_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match="instances_train2017"):
        CocoData.open(tmp_path)
