"""The stand-in gives what mmcv's own compiled kernels give; runs where mmcv is compiled (see docs/detection.md)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_mmcv_ops import random_boxes
from torch import Tensor

from backbones.mmcv_ops import OPERATIONS

extension = pytest.importorskip("mmcv._ext")
if extension.__spec__.origin == "backbones.mmcv_ops":
    pytest.skip("mmcv is not compiled here", allow_module_level=True)

ops = pytest.importorskip("mmcv.ops")
MODULES = ("nms", "roi_align", "deform_conv", "modulated_deform_conv")


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """Call a function of ``mmcv.ops`` twice: on the compiled kernels, and on ours."""

    def call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
        compiled = function(*arguments)
        for name in MODULES:
            monkeypatch.setattr(sys.modules[f"mmcv.ops.{name}"], "ext_module", SimpleNamespace(**OPERATIONS))
        return compiled, function(*arguments)

    return call


def boxes_and_scores(seed: int, equal: bool = False) -> tuple[Tensor, Tensor]:
    scores = torch.rand(200, generator=torch.Generator().manual_seed(seed))
    return random_boxes(200, seed), (scores * 5).round() / 5 if equal else scores


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offset", [0, 1])
def test_nms(both: Callable[..., Any], seed: int, offset: int) -> None:
    compiled, ours = both(ops.nms, *boxes_and_scores(seed), 0.5, offset)
    assert all(map(torch.equal, compiled, ours))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_soft_nms(both: Callable[..., Any], method: str, offset: int, equal: bool, seed: int) -> None:
    compiled, ours = both(ops.soft_nms, *boxes_and_scores(seed, equal), 0.3, 0.5, 0.05, method, offset)
    assert torch.equal(compiled[1], ours[1])
    torch.testing.assert_close(compiled[0], ours[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize("seed", range(5))
def test_nms_match(both: Callable[..., Any], seed: int) -> None:
    boxes, scores = boxes_and_scores(seed)
    compiled, ours = both(ops.nms_match, torch.cat([boxes, scores[:, None]], 1), 0.4)
    assert [group.tolist() for group in compiled] == [group.tolist() for group in ours]


def with_gradients(function: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    output = function(*leaves)
    weights = torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(1))
    return [output.detach(), *torch.autograd.grad(output, leaves, weights)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("samples", [0, 2])
def test_roi_align(both: Callable[..., Any], samples: int, aligned: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    rois = torch.cat([torch.randint(0, 2, (30, 1)).float(), random_boxes(30, 0)], 1).to(dtype)
    image = torch.randn(2, 8, 20, 24, dtype=dtype)
    compiled, ours = both(with_gradients, lambda x: ops.roi_align(x, rois, (7, 5), 0.5, samples, "avg", aligned), image)
    torch.testing.assert_close(ours, compiled)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize(("stride", "groups", "offset_groups"), [(1, 1, 1), (2, 2, 1), (1, 2, 4)])
def test_deformable_convolution(
    both: Callable[..., Any], stride: int, groups: int, offset_groups: int, modulated: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    side = 9 if stride == 1 else 5
    image, weight = torch.randn(2, 8, 9, 9, dtype=dtype), torch.randn(6, 8 // groups, 3, 3, dtype=dtype)
    offset = torch.randn(2, 18 * offset_groups, side, side, dtype=dtype) * 2
    mask, bias = torch.rand(2, 9 * offset_groups, side, side, dtype=dtype), torch.randn(6, dtype=dtype)

    def plain(x: Tensor, o: Tensor, w: Tensor) -> Tensor:
        return ops.deform_conv2d(x, o, w, stride, 1, 1, groups, offset_groups)

    def with_mask(x: Tensor, o: Tensor, m: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return ops.modulated_deform_conv2d(x, o, m, w, b, stride, 1, 1, groups, offset_groups)

    inputs = (image, offset, mask, weight, bias) if modulated else (image, offset, weight)
    compiled, ours = both(with_gradients, with_mask if modulated else plain, *inputs)
    torch.testing.assert_close(ours, compiled, rtol=1e-4, atol=1e-4)
