"""Which feature maps SSD looks at, and the anchors on each: pure arithmetic from a backbone's channels and strides.

Liu et al. 2016 (SSD), section 2.2 and their released configurations. The backbone gives the first levels; extra layers
halve the last one until a single cell is left. The size of the anchors grows linearly from level to level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nas.errors import NaswildError


@dataclass(frozen=True)
class Anchors:
    """Anchor sizes as fractions of the input's side: of the first level, of the second, and the end of the range.

    SSD300 on COCO has 0.07, 0.15, 0.9; SSD512 has 0.04, 0.1, 0.9.
    """

    first: float = 0.07
    second: float = 0.15
    last: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.first < self.second < self.last:
            raise NaswildError(
                f"anchor sizes must grow: 0 < first < second < last, not {self.first}, {self.second}, {self.last}"
            )


@dataclass(frozen=True)
class LevelPlan:
    """Per level: side of the feature map, channels, stride in pixels, anchor sizes and aspect ratios.

    ``extra_strides`` and ``extra_paddings`` are those of the extra layers' 3x3 convolutions.
    """

    sides: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[float, ...]
    extra_strides: tuple[int, ...]
    extra_paddings: tuple[int, ...]
    min_sizes: tuple[float, ...]
    max_sizes: tuple[float, ...]
    ratios: tuple[tuple[int, ...], ...]


def plan_levels(
    channels: Sequence[int],
    strides: Sequence[int],
    input_size: int,
    extra_channels: Sequence[int],
    anchors: Anchors,
) -> LevelPlan:
    """The levels of an SSD of ``input_size`` pixels on a backbone with these ``channels`` and ``strides``.

    ``extra_channels`` are those of the extra layers; the last one is repeated for as many layers as it takes.
    A side of 5 or 3 shrinks by an unpadded convolution (5, 3, 1, as in SSD300), any other by one of stride 2.
    """
    sides = [math.ceil(input_size / stride) for stride in strides]
    if any(later >= earlier for earlier, later in pairwise(sides)) or not sides:
        raise NaswildError(f"SSD needs backbone levels of falling resolution; strides {tuple(strides)} give {sides}")
    if not extra_channels:
        raise NaswildError("SSD needs the channels of its extra layers: extra_channels is empty")
    given, geometry = len(sides), []
    while sides[-1] > 1:
        stride, padding = (1, 0) if sides[-1] in (3, 5) else (2, 1)
        sides.append((sides[-1] + 2 * padding - 3) // stride + 1)
        geometry.append((stride, padding))
    if not geometry:
        raise NaswildError(
            f"an input of {input_size} pixels leaves nothing for SSD's extra layers at stride {strides[-1]}"
        )
    extras = [extra_channels[min(i, len(extra_channels) - 1)] for i in range(len(geometry))]
    sizes = _anchor_sizes(len(sides), input_size, anchors)
    return LevelPlan(
        sides=tuple(sides),
        channels=(*channels, *extras),
        strides=(*map(float, strides), *(input_size / side for side in sides[given:])),
        extra_strides=tuple(stride for stride, _ in geometry),
        extra_paddings=tuple(padding for _, padding in geometry),
        min_sizes=sizes[:-1],
        max_sizes=sizes[1:],
        ratios=_ratios(len(sides)),
    )


def _anchor_sizes(levels: int, input_size: int, anchors: Anchors) -> tuple[float, ...]:
    """One size a level and one more as the last upper limit: first, then evenly from second towards last (Eq. 4).

    The step is cut to a whole hundredth, as the released configurations do.
    """
    step = math.floor(round(100 * (anchors.last - anchors.second) / max(levels - 2, 1), 6)) / 100
    if step <= 0:
        raise NaswildError(
            f"anchor sizes must grow: second = {anchors.second} to last = {anchors.last} on {levels} levels is less "
            "than a hundredth a level"
        )
    fractions = [anchors.first, *(anchors.second + step * i for i in range(levels))]
    return tuple(round(fraction * input_size, 2) for fraction in fractions)


def _ratios(levels: int) -> tuple[tuple[int, ...], ...]:
    """4 anchors a cell on the first and the last two levels, 6 between, as in the released SSD models."""
    return tuple((2,) if level == 0 or level >= levels - 2 else (2, 3) for level in range(levels))
