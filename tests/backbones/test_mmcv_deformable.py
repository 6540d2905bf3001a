"""Deformable convolution and attention of the mmcv stand-in against definitions written out plainly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

mmcv_ops = pytest.importorskip("mmcv.ops")


def sample(image: Tensor, y: float, x: float) -> Tensor:
    """Bilinear value of ``image`` (C, H, W) at a point, zero outside the image."""
    result = image.new_zeros(image.shape[0])
    y0, x0 = int(torch.floor(torch.tensor(y))), int(torch.floor(torch.tensor(x)))
    for row, weight_y in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
        for column, weight_x in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                result = result + image[:, row, column] * weight_y * weight_x
    return result


def plain_deform_conv(
    image: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, stride: int, pad: int
) -> Tensor:
    """Sum over the kernel's taps, each read at its grid point plus its offset (Dai et al. 2017, Eq. 2)."""
    image, offset, weight = image.detach(), offset.detach(), weight.detach()
    mask = None if mask is None else mask.detach()
    out_channels, _, size, _ = weight.shape
    height, width = offset.shape[1:]
    result = torch.zeros(out_channels, height, width, dtype=image.dtype)
    for row in range(height):
        for column in range(width):
            for tap in range(size * size):
                y = row * stride - pad + tap // size + float(offset[2 * tap, row, column])
                x = column * stride - pad + tap % size + float(offset[2 * tap + 1, row, column])
                value = sample(image, y, x)
                if mask is not None:
                    value = value * mask[tap, row, column]
                result[:, row, column] += weight[:, :, tap // size, tap % size] @ value
    return result


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    torch.manual_seed(0)
    double = torch.float64
    return {
        "image": torch.rand(2, 3, 6, 7, dtype=double, requires_grad=True),
        "offset": (torch.randn(2, 18, 3, 4, dtype=double) * 1.5).requires_grad_(),
        "mask": torch.rand(2, 9, 3, 4, dtype=double, requires_grad=True),
        "weight": torch.randn(4, 3, 3, 3, dtype=double, requires_grad=True),
        "bias": torch.randn(4, dtype=double, requires_grad=True),
    }


def test_deform_conv_reads_each_tap_at_its_offset(inputs: dict[str, Tensor]) -> None:
    result = mmcv_ops.deform_conv2d(inputs["image"], inputs["offset"], inputs["weight"], 2, 1)
    for index in range(2):
        expected = plain_deform_conv(inputs["image"][index], inputs["offset"][index], inputs["weight"], None, 2, 1)
        torch.testing.assert_close(result[index], expected)


def test_modulated_deform_conv_weighs_taps_and_adds_bias(inputs: dict[str, Tensor]) -> None:
    arguments = [inputs[name] for name in ("image", "offset", "mask", "weight", "bias")]
    result = mmcv_ops.modulated_deform_conv2d(*arguments, 2, 1)
    for index in range(2):
        expected = plain_deform_conv(
            inputs["image"][index], inputs["offset"][index], inputs["weight"], inputs["mask"][index], 2, 1
        )
        torch.testing.assert_close(result[index], expected + inputs["bias"][:, None, None])


def test_deform_conv_gradients_are_those_of_its_values(inputs: dict[str, Tensor]) -> None:
    arguments = [inputs[name] for name in ("image", "offset", "weight")]
    assert torch.autograd.gradcheck(lambda *a: mmcv_ops.deform_conv2d(*a, 2, 1), arguments, fast_mode=True)


@pytest.mark.parametrize("with_bias", [True, False])
def test_modulated_deform_conv_gradients_are_those_of_its_values(inputs: dict[str, Tensor], with_bias: bool) -> None:
    arguments = [inputs[name] for name in ("image", "offset", "mask", "weight")]
    if with_bias:
        arguments.append(inputs["bias"])
    function = (
        (lambda *a: mmcv_ops.modulated_deform_conv2d(*a, 2, 1))
        if with_bias
        else (lambda *a: mmcv_ops.modulated_deform_conv2d(*a, None, 2, 1))
    )
    assert torch.autograd.gradcheck(function, arguments, fast_mode=True)


def attention_inputs() -> tuple[Tensor, ...]:
    torch.manual_seed(1)
    shapes = torch.tensor([[4, 5], [2, 3]])
    starts = torch.tensor([0, 20])
    value = torch.rand(2, 26, 2, 3, dtype=torch.float64, requires_grad=True)
    locations = (torch.rand(2, 4, 2, 2, 3, 2, dtype=torch.float64) * 1.2 - 0.1).requires_grad_()
    attention = torch.rand(2, 4, 2, 2, 3, dtype=torch.float64).requires_grad_()
    return value, shapes, starts, locations, attention


def test_deformable_attention_is_the_weighted_sum_of_samples() -> None:
    """The pure fallback runs on any device; CUDA reaches it through the same function of the extension."""
    value, shapes, starts, locations, attention = attention_inputs()
    function = mmcv_ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction
    result = function.apply(value, shapes, starts, locations, attention, 64)
    for batch, query, head in [(0, 0, 0), (1, 3, 1), (1, 2, 0)]:
        expected = torch.zeros(3, dtype=torch.float64)
        for level, (height, width) in enumerate(shapes.tolist()):
            start = int(starts[level])
            feature = value[batch, start : start + height * width, head].T.reshape(3, height, width)
            for point in range(3):
                x, y = locations[batch, query, head, level, point].tolist()
                value_here = sample(feature, y * height - 0.5, x * width - 0.5)
                expected = expected + attention[batch, query, head, level, point] * value_here
        torch.testing.assert_close(result[batch, query, head * 3 : head * 3 + 3], expected)


def test_deformable_attention_gradients_are_those_of_its_values() -> None:
    value, shapes, starts, locations, attention = attention_inputs()
    function = mmcv_ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction
    assert torch.autograd.gradcheck(
        lambda v, p, a: function.apply(v, shapes, starts, p, a, 64), (value, locations, attention), fast_mode=True
    )
