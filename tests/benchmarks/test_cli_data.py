"""``naswild data check``: what is wrong is printed, and the exit status is 1."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_sets import TINY
from typer.testing import CliRunner

from benchmarks.cli.app import app
from detection.compose import make_digits_coco
from reid.draw import make_reid_sets


@pytest.mark.parametrize("content", [b"null", b"\xff\xfe\x00", b"{}"])
def test_a_malformed_annotation_file_is_named(content: bytes, tmp_path: Path) -> None:
    data = make_digits_coco(tmp_path, seed=0, train=2, val=2, image_size=64)
    data.train.annotations.write_bytes(content)
    answer = CliRunner().invoke(app, ["data", "check", "coco", str(tmp_path)])
    assert answer.exit_code == 1
    assert isinstance(answer.exception, SystemExit)
    assert "malformed file" in answer.output


def test_a_truncated_image_is_found_where_all_are_decoded(tmp_path: Path) -> None:
    data = make_digits_coco(tmp_path, seed=0, train=2, val=2, image_size=64)
    image = sorted(data.train.images.iterdir())[-1]
    image.write_bytes(image.read_bytes()[:-200])
    answer = CliRunner().invoke(app, ["data", "check", "coco", str(tmp_path), "--deep"])
    assert (answer.exit_code, image.name in answer.output) == (1, True)


def test_the_check_of_market1501_fails_for_missing_images_unless_any_size_will_do(tmp_path: Path) -> None:
    make_reid_sets(tmp_path, seed=0, sizes=TINY)
    command = ["data", "check", "market1501", str(tmp_path)]
    answer = CliRunner().invoke(app, command)
    assert answer.exit_code == 1
    assert "12,936" in answer.stdout
    assert CliRunner().invoke(app, [*command, "--any-size"]).exit_code == 0
