"""The network that a genotype describes: a stem, a stack of cells, a classifier.

Two stems as in the paper: ``cifar`` keeps the input's resolution (section 5.1.2), ``imagenet`` divides it by 4 and 8
before the first cell (section 5.3.2). Reduction cells are at one and two thirds of the depth.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.cell import Cell
from nas.errors import NaswildError
from nas.genotype import Genotype
from nas.operations import unstride
from nas.recompute import recompute

Stem = Literal["cifar", "imagenet"]
# What the paper trains: 20 cells of 36 channels on CIFAR, 14 cells of 48 channels on ImageNet.
PAPER_SHAPE: dict[str, dict[str, int]] = {
    "cifar": {"channels": 36, "cells": 20},
    "imagenet": {"channels": 48, "cells": 14},
}


class _Level(NamedTuple):
    """One level of the pyramid: its channels, its stride to the input, and the module that puts it out."""

    channels: int
    stride: int
    module: str


def _conv_bn(channels_in: int, channels_out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False), nn.BatchNorm2d(channels_out)]


class CellBody(nn.Module):
    """Stem and cells as a feature pyramid.

    Strides 4, 8, 16, 32 with the ``imagenet`` stem (C, 4C, 8C, 16C channels for cells that concatenate four nodes);
    1, 2, 4 with the ``cifar`` stem. Cells beyond level ``depth`` are not built.

    Args:
        genotype: The two cells.
        stem: ``"cifar"`` or ``"imagenet"``.
        channels: C, the channels of a node in the first cells; doubled at each reduction.
        cells: Number of cells of the full network, at least 3.
        in_channels: Channels of the input.
        depth: Index of the last level to build; all of them by default.
        last_stride: 1 takes the stride out of the last reduction cell and keeps its weights (for PCB).
    """

    def __init__(
        self,
        genotype: Genotype,
        stem: Stem = "imagenet",
        channels: int = 48,
        cells: int = 14,
        *,
        in_channels: int = 3,
        depth: int | None = None,
        last_stride: int = 2,
    ) -> None:
        super().__init__()
        _check_shape(stem, channels, cells, last_stride)
        self.genotype = genotype
        self.stem = stem
        self.in_channels = in_channels
        self.channels = channels
        self.total_cells = cells
        self.checkpointing = False  # recompute the cells in the backward pass instead of keeping their activations
        self.reductions = (cells // 3, 2 * cells // 3)
        self.levels: list[_Level] = []
        self.cells = nn.ModuleList()
        if stem == "imagenet":
            half = channels // 2
            self.stem0 = nn.Sequential(*_conv_bn(in_channels, half, 2), nn.ReLU(), *_conv_bn(half, channels, 2))
            self.levels.append(_Level(channels, 4, "stem0"))
            self.stem1 = nn.Sequential(nn.ReLU(), *_conv_bn(channels, channels, 2))
            self._stack_cells((channels, channels), stride=8, halve_first=True)
        else:
            # Three times the channels: the stem is cheap, the cells reduce it at once (as in DARTS).
            self.stem0 = nn.Sequential(*_conv_bn(in_channels, 3 * channels, 1))
            self._stack_cells((3 * channels, 3 * channels), stride=1, halve_first=False)
        if last_stride == 1:
            self._unstride_last()
        if depth is not None:
            self.truncate(depth)

    def truncate(self, depth: int) -> None:
        """Remove what only the levels after ``depth`` need."""
        del self.levels[depth + 1 :]
        last = self.levels[-1].module
        if last == "stem0":
            del self.stem1
            del self.cells[:]
        else:
            del self.cells[int(last.removeprefix("cells.")) + 1 :]

    def _stack_cells(self, widths: tuple[int, int], stride: int, halve_first: bool) -> None:
        """Append the cells, and a level wherever the next cell reduces."""
        channels = self.channels
        for index in range(self.total_cells):
            reduction = index in self.reductions
            if reduction:
                self.levels.append(_Level(widths[1], stride, f"cells.{index - 1}"))
                channels, stride = channels * 2, stride * 2
            spec = self.genotype.reduce if reduction else self.genotype.normal
            cell = Cell(spec, widths, channels, reduction, halve_first)
            self.cells.append(cell)
            widths, halve_first = (widths[1], cell.channels_out), reduction
        self.levels.append(_Level(widths[1], stride, f"cells.{self.total_cells - 1}"))

    def _unstride_last(self) -> None:
        index = self.reductions[1]
        unstride(self.cell(index).nodes)
        if index + 1 < len(self.cells):
            unstride(self.cell(index + 1).preprocess0)
        self.levels[-1] = self.levels[-1]._replace(stride=self.levels[-1].stride // 2)

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """The levels as timm describes them: ``num_chs``, ``reduction`` (stride) and ``module``."""
        return [{"num_chs": v.channels, "reduction": v.stride, "module": v.module} for v in self.levels]

    def set_drop_path(self, rate: float) -> None:
        """Probability with which a path of a cell is dropped in training."""
        for index in range(len(self.cells)):
            self.cell(index).drop_path_rate = rate

    def cell(self, index: int) -> Cell:
        """The cell at ``index``."""
        cell = self.cells[index]
        assert isinstance(cell, Cell)
        return cell

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> one (N, C_i, ceil(H / s_i), ceil(W / s_i)) for each level."""
        return self.run(x)[0]

    def run(self, x: Tensor, tap: int | None = None, depth: int | None = None) -> tuple[list[Tensor], Tensor | None]:
        """The pyramid up to level ``depth``, and the output of cell ``tap`` for the auxiliary head, if one is given."""
        wanted = [level.module for level in self.levels][: None if depth is None else depth + 1]
        tapped = None
        first = self.stem0(x)
        pyramid = [first] if "stem0" in wanted else []
        if len(pyramid) == len(wanted):
            return pyramid, None
        previous = self.pass_on(first)
        current = self.pass_on(self.stem1(first)) if self.stem == "imagenet" else previous
        for index, cell in enumerate(self.cells):
            out = self._run_cell(cell, previous, current)
            if f"cells.{index}" in wanted:
                pyramid.append(out)
            if index == tap:
                tapped = out
            if len(pyramid) == len(wanted):
                break
            previous, current = current, self.pass_on(out)
        return pyramid, tapped

    def pass_on(self, out: Tensor) -> Tensor:
        """What the next two cells read of an output: all of it (:mod:`nas.quick` knows that less will do)."""
        return out

    def _run_cell(self, cell: nn.Module, previous: Tensor, current: Tensor) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return recompute(cell, previous, current)
        return cell(previous, current)


def _check_shape(stem: str, channels: int, cells: int, last_stride: int) -> None:
    if stem not in PAPER_SHAPE:
        raise NaswildError(f"stem must be 'cifar' or 'imagenet', not {stem!r}")
    if channels < 2 or channels % 2:
        raise NaswildError(f"channels must be an even number of at least 2, not {channels}")
    if cells < 3:
        raise NaswildError(f"a network needs at least 3 cells (two of them reductions), not {cells}")
    if last_stride not in (1, 2):
        raise NaswildError(f"last_stride must be 1 or 2, not {last_stride}")


class AuxiliaryHead(nn.Module):
    """A second classifier at two thirds of the depth, for training only; its loss has weight 0.4 (section 5.1.2).

    The paper's networks arrive with 8x8 (CIFAR) or 7x7 (ImageNet) pixels, which windows of 5 pool to 2x2; other sizes
    are pooled to 2x2 in the same way, those below 6 adaptively.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU())
        self.widen = nn.Sequential(nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768), nn.ReLU())
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, num_classes)."""
        height, width = x.shape[2:]
        x = functional.relu(x)
        if min(height, width) > 5:
            x = functional.avg_pool2d(x, 5, stride=(height - 5, width - 5), count_include_pad=False)
        if x.shape[2:] != (2, 2):
            x = functional.adaptive_avg_pool2d(x, 2)
        return self.classifier(self.widen(self.reduce(x)).flatten(1))


class CellNetwork(nn.Module):
    """A classification network of cells: body, global average pooling, linear classifier. See :func:`build_network`."""

    def __init__(self, body: CellBody, num_classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.body = body
        self.num_classes = num_classes
        self.tap = 2 * body.total_cells // 3 if auxiliary else None
        self.auxiliary = AuxiliaryHead(body.cell(self.tap).channels_out, num_classes) if self.tap is not None else None
        self.classifier = nn.Linear(body.levels[-1].channels, num_classes)

    def set_drop_path(self, rate: float) -> None:
        """Probability with which a path of a cell is dropped in training."""
        self.body.set_drop_path(rate)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> logits (N, num_classes); with an auxiliary head in training ``(logits, auxiliary)``."""
        tap = self.tap if self.training else None
        pyramid, tapped = self.body.run(x, tap)
        logits = self.classifier(pyramid[-1].mean(dim=(2, 3)))
        if self.auxiliary is None or tapped is None:
            return logits
        return logits, self.auxiliary(tapped)


def build_network(
    genotype: Any,
    stem: Stem = "cifar",
    channels: int | None = None,
    cells: int | None = None,
    num_classes: int = 10,
    auxiliary: bool = False,
) -> CellNetwork:
    """The classification network of ``genotype`` (anything that :meth:`nas.Genotype.load` takes).

    ``channels`` and ``cells`` default to the paper's: 36 and 20 with the ``cifar`` stem, 48 and 14 with ``imagenet``.
    """
    if stem not in PAPER_SHAPE:
        raise NaswildError(f"stem must be 'cifar' or 'imagenet', not {stem!r}")
    shape = PAPER_SHAPE[stem] | {k: v for k, v in (("channels", channels), ("cells", cells)) if v is not None}
    body = CellBody(Genotype.load(genotype), stem, **shape)
    return CellNetwork(body, num_classes, auxiliary)
