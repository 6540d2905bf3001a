"""The picture of detections says what its colours mean, fills its width, and shows names in any script."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from detection.coco_eval import evaluate_coco
from detection.curves import draw_curves
from detection.data import CocoSplit
from detection.fonts import _characters, _files, font_file
from detection.picture import draw_comparison

pytest.importorskip("matplotlib")
SIZES = ((640, 480), (300, 500), (500, 200), (64, 64), (200, 200))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn, with the font that has its characters checked."""
    texts: list[str] = []
    plain = ImageDraw.ImageDraw.text

    def text(draw: ImageDraw.ImageDraw, place: Any, text: str, *, fill: Any, font: ImageFont.FreeTypeFont) -> None:
        nothing = bytes(font.getmask("\uffff"))
        assert all(bytes(font.getmask(c)) != nothing for c in text if not c.isspace()), text
        texts.append(text)
        plain(draw, place, text, fill=fill, font=font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


@pytest.fixture
def dejavu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(_files())
    monkeypatch.setattr("detection.fonts._files", lambda: iter([first]))
    font_file.cache_clear()


@pytest.fixture
def split(tmp_path: Path) -> Callable[..., CocoSplit]:
    """Grey images with one box each, whose category has the given name."""

    def make(name: str, sizes: tuple[tuple[int, int], ...] = SIZES) -> CocoSplit:
        content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 7, "name": name}]}
        for number, (width, height) in enumerate(sizes, 1):
            Image.new("RGB", (width, height), "grey").save(tmp_path / f"{number}.png")
            content["images"].append({"id": number, "width": width, "height": height, "file_name": f"{number}.png"})
            box = {"bbox": [10.0, 20.0, 30.0, 25.0], "area": 750.0, "iscrowd": 0}
            content["annotations"].append({"id": number, "image_id": number, "category_id": 7, **box})
        (tmp_path / "truth.json").write_text(json.dumps(content))
        return CocoSplit(annotations=tmp_path / "truth.json", images=tmp_path)

    return make


DETECTIONS = np.array([[1.0, 12, 20, 30, 25, 0.9, 7], [2.0, 12, 20, 30, 25, 0.2, 7]])


def test_the_colours_are_explained(split: Callable[..., CocoSplit], written: list[str], tmp_path: Path) -> None:
    draw_comparison(split("cell"), DETECTIONS, tmp_path / "out.png")
    assert {"green: ground truth", "red: detections with a score of 0.3 or more"} <= set(written)
    assert written.count("cell") == len(SIZES)
    assert [text for text in written if text.startswith("cell ")] == ["cell 0.90"]


@pytest.mark.parametrize("sizes", [SIZES, SIZES[:1], SIZES[1:4]], ids=len)
def test_every_row_reaches_from_edge_to_edge(
    split: Callable[..., CocoSplit], sizes: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    draw_comparison(split("cell", sizes), DETECTIONS, tmp_path / "out.png")
    pixels = np.asarray(Image.open(tmp_path / "out.png").convert("L")).astype(int)
    filled = pixels[40:, :] < 250  # below the legend
    for column in (6, filled.shape[1] - 7):
        gaps = np.flatnonzero(~filled[:, column])
        assert len(gaps) <= 4 * len(sizes)  # the white lines between rows alone


@pytest.mark.parametrize("name", ["клетка", "κύτταρο", "Zelle ß", "خلية", "cellule érythrocyte"])
@pytest.mark.usefixtures("dejavu_alone")
def test_names_in_other_scripts_are_shown(
    split: Callable[..., CocoSplit], written: list[str], name: str, tmp_path: Path
) -> None:
    draw_comparison(split(name), DETECTIONS, tmp_path / "out.png")
    assert name in written
    assert not any(text.startswith("#") for text in written)


@pytest.mark.usefixtures("dejavu_alone")
def test_a_name_without_a_font_becomes_its_id_and_that_is_said(
    split: Callable[..., CocoSplit], written: list[str], tmp_path: Path
) -> None:
    truth = split("细胞")
    draw_comparison(truth, DETECTIONS, tmp_path / "out.png")
    assert {"#7", "#7 0.90"} <= set(written)
    assert any("id of a category whose name no font" in text for text in written)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of missing glyphs
        draw_curves(evaluate_coco(truth.read(), DETECTIONS, engine="pycocotools"), tmp_path / "curves.png", "细胞, val")


def test_a_font_of_the_machine_is_taken_where_matplotlibs_own_lacks_the_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = next(_files())
    monkeypatch.setattr("detection.fonts._files", lambda: iter([own, "chinese.ttf"]))
    chinese = frozenset(map(ord, "细胞"))
    monkeypatch.setattr("detection.fonts._characters", lambda path: chinese if path != own else _characters(own))
    font_file.cache_clear()
    assert font_file("细胞") == Path("chinese.ttf")
    assert font_file("cell") == Path(own)
    font_file.cache_clear()
