"""A table of broken data sets and of what the check says of each: one clear finding, never a traceback."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detection.annotations import read_annotations
from detection.check import check_coco, refuse_broken
from detection.data import CocoData
from nas.errors import NaswildError

Content = dict[str, Any]


def sound() -> Content:
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 40, "height": 30} for i in (1, 2)],
        "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "plate"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": i, "bbox": [2.0, 3.0, 10.0, 8.0], "area": 80.0, "iscrowd": 0}
            for i in (1, 2)
        ],
    }


def jpeg(size: tuple[int, int] = (40, 30), orientation: int | None = None) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    if orientation is not None:
        exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def write(root: Path, train: Content | str | bytes | None = None) -> CocoData:
    """A data set whose training annotations are ``train``; its validation part is sound."""
    for part, content in (("train", sound() if train is None else train), ("val", sound())):
        (root / part).mkdir(parents=True)
        for name in ("1.jpg", "2.jpg"):
            (root / part / name).write_bytes(jpeg())
        (root / "annotations").mkdir(exist_ok=True)
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        raw = text if isinstance(text, bytes) else text.encode()
        (root / "annotations" / f"instances_{part}.json").write_bytes(raw)
    return CocoData.open(root)


def changed(key: str, **values: Any) -> Content:
    content = sound()
    content[key][0].update(values)
    return content


def without(key: str, field: str) -> Content:
    content = sound()
    del content[key][0][field]
    return content


# name: training annotations, what the only finding says
MALFORMED: dict[str, tuple[Content | str | bytes, str]] = {
    "null": ("null", "the file: Input should be an object, not null"),
    "list": ("[]", "the file: Input should be an object, not []"),
    "no json": ("{'images'", "the file: Invalid JSON"),
    "empty": ("", "the file: Invalid JSON"),
    "binary": (b"\xff\xfe\x00\x01", "the file: Invalid JSON"),
    "no images": ({"categories": [], "annotations": []}, "images: Field required"),
    "no categories": ({"images": [], "annotations": []}, "categories: Field required"),
    "null annotations": (sound() | {"annotations": None}, "annotations: Input should be a valid array, not null"),
    "null image": (sound() | {"images": [None]}, "images[0]: Input should be an object, not null"),
    "null annotation": (sound() | {"annotations": [None]}, "annotations[0]: Input should be an object, not null"),
    "image without id": (without("images", "id"), "images[0].id: Field required"),
    "string image id": (changed("images", id="1"), "images[0].id: Input should be a valid integer, not '1'"),
    "fraction as image id": (changed("images", id=1.5), "images[0].id: Input should be a valid integer, not 1.5"),
    "negative image id": (changed("images", id=-1), "images[0].id: Input should be greater than or equal to 0"),
    "image id beyond int64": (changed("images", id=2**63), "images[0].id: Input should be less than"),
    "image without name": (without("images", "file_name"), "images[0].file_name: Field required"),
    "null image name": (changed("images", file_name=None), "images[0].file_name: Input should be a valid string"),
    "empty image name": (changed("images", file_name=""), "images[0].file_name: String should have at least 1"),
    "image without width": (without("images", "width"), "images[0].width: Field required"),
    "width of zero": (changed("images", width=0), "images[0].width: Input should be greater than 0"),
    "string width": (changed("images", width="40"), "images[0].width: Input should be a valid number, not '40'"),
    "half a pixel": (changed("images", height=30.5), "images[0].height: Input should be a multiple of 1"),
    "category without id": (without("categories", "id"), "categories[0].id: Field required"),
    "category without name": (without("categories", "name"), "categories[0].name: Field required"),
    "null category name": (changed("categories", name=None), "categories[0].name: Input should be a valid string"),
    "number as category name": (changed("categories", name=3), "categories[0].name: Input should be a valid string"),
    "annotation without id": (without("annotations", "id"), "annotations[0].id: Field required"),
    "string annotation id": (changed("annotations", id="a"), "annotations[0].id: Input should be a valid integer"),
    "true as annotation id": (changed("annotations", id=True), "annotations[0].id: Input should be a valid integer"),
    "annotation without image": (without("annotations", "image_id"), "annotations[0].image_id: Field required"),
    "string image of a box": (changed("annotations", image_id="1"), "annotations[0].image_id: Input should be a valid"),
    "annotation without category": (
        without("annotations", "category_id"),
        "annotations[0].category_id: Field required",
    ),
    "string category of a box": (
        changed("annotations", category_id="1"),
        "annotations[0].category_id: Input should be a valid integer, not '1'",
    ),
    "annotation without box": (without("annotations", "bbox"), "annotations[0].bbox: Field required"),
    "null box": (changed("annotations", bbox=None), "annotations[0].bbox: Input should be a valid array, not null"),
    "empty list as box": (changed("annotations", bbox=[]), "annotations[0].bbox: List should have at least 4 items"),
    "three numbers": (changed("annotations", bbox=[1, 2, 3]), "annotations[0].bbox: List should have at least 4"),
    "five numbers": (changed("annotations", bbox=[1, 2, 3, 4, 5]), "annotations[0].bbox: List should have at most 4"),
    "text in a box": (changed("annotations", bbox=[1, 2, 3, "4"]), "annotations[0].bbox[3]: Input should be a valid"),
    "nan in a box": (
        changed("annotations", bbox=[1, 2, float("nan"), 4]),
        "annotations[0].bbox[2]: Input should be a finite number, not nan",
    ),
    "infinite box": (changed("annotations", bbox=[1, 2, 3, float("inf")]), "annotations[0].bbox[3]: Input should be"),
    "null area": (changed("annotations", area=None), "annotations[0].area: Input should be a valid number, not null"),
    "nan area": (changed("annotations", area=float("nan")), "annotations[0].area: Input should be"),
    "crowd of two": (changed("annotations", iscrowd=2), "annotations[0].iscrowd"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_one_finding_that_says_where(name: str, tmp_path: Path) -> None:
    content, expected = MALFORMED[name]
    data = write(tmp_path, content)
    found = check_coco(data)
    assert {problem.kind for problem in found} == {"malformed file"}
    assert any(expected in problem.detail for problem in found)
    assert len(found) <= 2  # two where a value may be of either of two types
    with pytest.raises(NaswildError, match="malformed file"):
        refuse_broken(data)


# name: bytes of train/1.jpg, the kind of finding (None: it is sound)
IMAGES: dict[str, tuple[bytes, str | None]] = {
    "sound": (jpeg(), None),
    "truncated": (jpeg()[:-400], "unreadable image"),
    "half a header": (jpeg()[:100], "unreadable image"),
    "empty": (b"", "unreadable image"),
    "text": (b"<html>404</html>", "unreadable image"),
    "another size": (jpeg((41, 30)), "wrong size"),
    "upright by its tag": (jpeg(orientation=1), None),
    "quarter turn, boxes on the sensor's picture": (jpeg(orientation=6), "turned image"),
    "quarter turn, boxes on the turned picture": (jpeg((30, 40), orientation=6), None),
    "upside down, which the size cannot tell": (jpeg(orientation=3), "perhaps turned image"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_what_is_wrong_with_an_image_file_is_found(name: str, tmp_path: Path) -> None:
    content, kind = IMAGES[name]
    data = write(tmp_path)
    (tmp_path / "train" / "1.jpg").write_bytes(content)
    found = check_coco(data)
    assert [problem.kind for problem in found] == ([] if kind is None else [kind])
    assert all("1.jpg" in problem.detail for problem in found)
    if kind is not None and found[0].severity == "error":
        with pytest.raises(NaswildError, match=kind):
            refuse_broken(data)  # a run decodes a sample


@pytest.mark.parametrize(
    "name", ["quarter turn, boxes on the sensor's picture", "upside down, which the size cannot tell"]
)
def test_mmdets_loader_turns_what_the_check_names(name: str, tmp_path: Path) -> None:
    """The reason for the finding: pixels turn by the tag, boxes do not."""
    mmcv = pytest.importorskip("mmcv")
    (tmp_path / "plain.jpg").write_bytes(jpeg())
    (tmp_path / "tagged.jpg").write_bytes(IMAGES[name][0])
    plain, tagged = (mmcv.imread(str(tmp_path / f"{stem}.jpg")) for stem in ("plain", "tagged"))
    assert plain.shape != tagged.shape or not np.array_equal(plain, tagged)


def test_a_sample_is_decoded_and_all_where_it_is_asked_for(tmp_path: Path) -> None:
    data = write(tmp_path)
    (tmp_path / "train" / "2.jpg").write_bytes(jpeg()[:-400])
    assert check_coco(data, decoded=1) == []  # the first of two
    assert [problem.kind for problem in check_coco(data, decoded=None)] == ["unreadable image"]


@pytest.mark.parametrize("file_name", ["a" * 300, "x\0.jpg", "../train", "."])
def test_a_name_that_no_file_can_have_is_a_finding(file_name: str, tmp_path: Path) -> None:
    data = write(tmp_path, changed("images", file_name=file_name))
    assert {problem.kind for problem in check_coco(data)} <= {"missing image", "unreadable image"}
    assert check_coco(data)


def test_a_missing_area_is_that_of_the_box(tmp_path: Path) -> None:
    data = write(tmp_path, without("annotations", "area"))
    assert [(problem.kind, problem.severity) for problem in check_coco(data)] == [("missing area", "warning")]
    assert data.train.read()["annotations"][0]["area"] == 80.0


def test_a_missing_crowd_flag_is_none(tmp_path: Path) -> None:
    assert check_coco(write(tmp_path, without("annotations", "iscrowd"))) == []


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b"\n "])
def test_what_other_programs_write_is_read(prefix: bytes, tmp_path: Path) -> None:
    content = changed("images", width=40.0)
    data = write(tmp_path, prefix + json.dumps(content).encode())
    assert check_coco(data) == []
    assert data.train.read()["images"][0]["width"] == 40


def test_a_test_part_without_boxes_may_be_predicted_but_not_scored(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train").rename(tmp_path / "test")
    (tmp_path / "train").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "train" / name).write_bytes(jpeg())
    text = json.dumps({key: value for key, value in sound().items() if key != "annotations"})
    (tmp_path / "annotations" / "image_info_test-dev2017.json").write_text(text)
    data = CocoData.open(tmp_path)
    assert [problem.kind for problem in check_coco(data)] == ["part without boxes"]
    refuse_broken(data, "val")
    with pytest.raises(NaswildError, match="no boxes to score with"):
        refuse_broken(data, "test")


def test_a_part_of_crowds_alone_has_no_boxes(tmp_path: Path) -> None:
    content = sound()
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    assert "no boxes" in {problem.kind for problem in check_coco(write(tmp_path, content))}


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = write(tmp_path).train.annotations
    first = read_annotations(path)
    assert read_annotations(path) is first
    path.write_text(json.dumps(changed("categories", name="another")))
    assert read_annotations(path)["categories"][0]["name"] == "another"
