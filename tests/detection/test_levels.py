"""SSD's levels and anchors are those of the released SSD300 and SSD512, whatever the backbone."""

from __future__ import annotations

import pytest

from detection.levels import Anchors, plan_levels
from nas.errors import NaswildError

CELLS = ((192, 384, 768), (8, 16, 32))  # P-DARTS at 48 channels


def test_ssd320_has_the_six_levels_of_ssd300() -> None:
    plan = plan_levels(*CELLS, 320, (512, 256, 256), Anchors())
    assert plan.sides == (40, 20, 10, 5, 3, 1)
    assert plan.channels == (192, 384, 768, 512, 256, 256)
    assert plan.extra_strides == (2, 1, 1)
    assert plan.extra_paddings == (1, 0, 0)
    assert plan.strides == pytest.approx((8, 16, 32, 64, 320 / 3, 320))
    assert plan.ratios == ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))


def test_ssd512_has_the_seven_levels_of_ssd512() -> None:
    plan = plan_levels(*CELLS, 512, (512, 256, 256, 256), Anchors(0.04, 0.1, 0.9))
    assert plan.sides == (64, 32, 16, 8, 4, 2, 1)
    assert plan.ratios == ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,))


def test_anchor_sizes_are_those_released_for_coco() -> None:
    plan = plan_levels((512, 1024), (8, 16), 300, (512, 256, 256, 256), Anchors())
    assert plan.sides == (38, 19, 10, 5, 3, 1)
    assert plan.min_sizes == pytest.approx((21, 45, 99, 153, 207, 261), abs=0.01)
    assert plan.max_sizes == pytest.approx((45, 99, 153, 207, 261, 315), abs=0.01)
    larger = plan_levels(*CELLS, 512, (512, 256), Anchors(0.04, 0.1, 0.9))
    assert tuple(map(int, larger.min_sizes)) == (20, 51, 133, 215, 296, 378, 460)  # released: whole pixels, +-1


def test_the_last_extra_channels_are_repeated() -> None:
    assert plan_levels((32, 64, 128), (8, 16, 32), 512, (64,), Anchors()).channels[3:] == (64, 64, 64, 64)


@pytest.mark.parametrize("size", [64, 96, 128, 224, 300, 320, 416, 512, 640])
def test_every_input_ends_in_one_cell(size: int) -> None:
    plan = plan_levels(*CELLS, size, (64,), Anchors())
    assert plan.sides[-1] == 1
    assert all(earlier > later for earlier, later in zip(plan.sides, plan.sides[1:], strict=False))
    assert all(earlier < later for earlier, later in zip(plan.min_sizes, plan.min_sizes[1:], strict=False))


def test_levels_of_one_resolution_are_refused() -> None:
    with pytest.raises(NaswildError, match="falling resolution"):
        plan_levels((64, 64), (16, 16), 320, (64,), Anchors())


def test_an_input_without_room_for_extra_layers_is_refused() -> None:
    with pytest.raises(NaswildError, match="nothing for SSD's extra layers"):
        plan_levels(*CELLS, 32, (64,), Anchors())


@pytest.mark.parametrize("sizes", [(0.15, 0.07, 0.9), (0.07, 0.15, 0.1), (0.07, 0.07, 0.9), (-0.1, 0.1, 0.9)])
def test_anchors_that_do_not_grow_are_refused(sizes: tuple[float, float, float]) -> None:
    with pytest.raises(NaswildError, match="must grow"):
        Anchors(*sizes)


def test_anchors_that_stand_still_after_rounding_are_refused() -> None:
    with pytest.raises(NaswildError, match="less than a hundredth a level"):
        plan_levels(*CELLS, 320, (64,), Anchors(0.07, 0.15, 0.18))
