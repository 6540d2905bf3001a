"""The quick depthwise convolution equals PyTorch's, in its output and both gradients, wherever it takes a short cut."""

import pytest
import torch
from torch import nn

from nas.depthwise import DepthwiseConv2d


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2), (1, 6), (4, 4), (7, 5), (12, 12)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (5, 1), (7, 1), (3, 2), (5, 2)])
def test_equals_the_plain_convolution(kernel, dilation, stride, size):
    torch.manual_seed(0)
    quick = DepthwiseConv2d(16, kernel, stride, dilation).double()
    plain = nn.Conv2d(16, 16, kernel, stride, dilation * (kernel // 2), dilation, groups=16, bias=False).double()
    plain.load_state_dict(quick.state_dict())
    results = []
    for layer in (quick, plain):
        x = torch.randn(3, 16, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out = layer(x)
        out.backward(torch.arange(out.numel(), dtype=torch.float64).view_as(out).sin())
        results.append((out, x.grad, layer.weight.grad))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


def test_autocast_computes_in_the_lower_precision():
    layer = DepthwiseConv2d(16, 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.randn(2, 16, 8, 8))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
