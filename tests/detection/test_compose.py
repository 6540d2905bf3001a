"""The composed set: deterministic, valid, honest (no picture and no digit in both parts), objects of all sizes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.check import check_coco
from detection.compose import make_digits_coco
from detection.data import CocoData
from detection.paste import AREAS, paste_digit, scale_digit
from detection.photographs import PHOTOGRAPHS, load_photographs

pytest.importorskip("skimage")


def files_of(data: CocoData) -> dict[str, str]:
    root = data.train.annotations.parents[1]
    return {str(p.relative_to(root)): hashlib.md5(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


def test_same_arguments_give_the_same_files(digits: CocoData, tmp_path: Path) -> None:
    again = make_digits_coco(tmp_path, seed=3, train=12, val=6, image_size=160)
    assert files_of(again) == files_of(digits)
    assert again.version == digits.version


def test_another_seed_gives_another_version(digits: CocoData, tmp_path: Path) -> None:
    other = make_digits_coco(tmp_path, seed=4, train=12, val=6, image_size=160)
    assert other.version != digits.version
    assert other.val.read()["info"]["version"] != digits.val.read()["info"]["version"]


def test_a_whole_set_is_left_alone_and_a_half_one_is_finished(tmp_path: Path) -> None:
    data = make_digits_coco(tmp_path, train=3, val=2, image_size=128)
    picture = tmp_path / "train" / "000001.jpg"
    before = picture.stat().st_mtime_ns
    make_digits_coco(tmp_path, train=3, val=2, image_size=128)
    assert picture.stat().st_mtime_ns == before
    data.val.annotations.unlink()  # as if killed between the images and the annotations
    make_digits_coco(tmp_path, train=3, val=2, image_size=128)
    assert data.val.annotations.exists()


def test_the_set_has_no_problem_but_what_its_size_brings(digits: CocoData) -> None:
    assert {problem.kind for problem in check_coco(digits)} <= {"empty category"}


def test_photographs_of_training_and_validation_are_different_pictures() -> None:
    parts = {part: load_photographs(part) for part in PHOTOGRAPHS}
    assert not set(parts["train"]) & set(parts["val"])
    pixels = {part: {p.tobytes() for p in pictures.values()} for part, pictures in parts.items()}
    assert not pixels["train"] & pixels["val"]


def test_digits_of_validation_are_those_no_backbone_was_trained_on(digits: CocoData) -> None:
    from nas.proxies import load_proxy

    proxy = load_proxy("digits", image_size=8)
    for part, images in (("train", proxy.train), ("val", proxy.test)):
        for entry in json.loads(digits.split(part).annotations.read_text())["annotations"]:
            assert int(images.labels[entry["digit"]]) + 1 == entry["category_id"]


def test_all_three_sizes_of_coco_occur(tmp_path: Path) -> None:
    entries = make_digits_coco(tmp_path, train=20, val=1).train.read()["annotations"]
    areas = np.array([entry["area"] for entry in entries])
    shares = [(areas < 32**2).mean(), ((areas > 32**2) & (areas < 96**2)).mean(), (areas > 96**2).mean()]
    assert min(shares) > 0.1


def test_boxes_are_tight_and_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    ink = np.zeros((8, 8))
    ink[1:7, 2:6] = 1.0
    canvas = np.zeros((192, 192, 3), dtype=np.float32)
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(4):
        before = canvas.copy()
        box = paste_digit(canvas, ink, boxes, rng)
        if box is None:
            continue
        rows, columns = np.nonzero(np.abs(canvas - before).max(axis=2) > 40)
        assert abs(columns.min() - box[0]) <= 2
        assert abs(rows.max() + 1 - box[3]) <= 2
        assert all(box[0] >= b[2] or box[2] <= b[0] or box[1] >= b[3] or box[3] <= b[1] for b in boxes)
        boxes.append(box)
    assert len(boxes) >= 2


@pytest.mark.parametrize("area", [450, 980, 5000, 12500])
def test_a_digit_is_scaled_to_the_area_asked_for(area: int) -> None:
    ink = np.zeros((8, 8))
    ink[0:8, 3:5] = 1.0
    assert scale_digit(ink, area, 5.0).size == pytest.approx(area, rel=0.12)


def test_no_area_of_the_small_range_reaches_the_medium_one() -> None:
    assert AREAS["small"][1] < 32**2 < AREAS["medium"][0]
    assert AREAS["medium"][1] < 96**2 < AREAS["large"][0]
    assert sum(share for *_, share in AREAS.values()) == pytest.approx(1.0)


def test_images_on_disk_have_the_size_that_is_written(digits: CocoData) -> None:
    for image in digits.val.read()["images"]:
        with Image.open(digits.val.images / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (160, 160)
