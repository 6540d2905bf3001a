"""Halving the resolution by two 1x1 convolutions: equal to strided ones, without their fault."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from nas.operations import FactorizedReduce


@pytest.mark.parametrize("size", [1, 6, 7])
def test_equals_two_strided_convolutions_of_which_the_second_is_shifted(size):
    torch.manual_seed(0)
    reduce = FactorizedReduce(4, 6, affine=False).double()
    x = torch.randn(3, 4, size, size, dtype=torch.float64)
    active = functional.pad(functional.relu(x), (0, 1, 0, 1))
    even = functional.conv2d(functional.relu(x), reduce.even.weight, stride=2)
    odd = functional.conv2d(active[:, :, 1:, 1:], reduce.odd.weight, stride=2)
    expected = functional.batch_norm(torch.cat([even, odd], dim=1), None, None, training=True)
    torch.testing.assert_close(reduce(x), expected, rtol=0, atol=1e-12)


def test_gradients_of_few_channels_stay_within_their_memory():
    """A strided 1x1 convolution of 8 channels in channels_last corrupts the heap here (oneDNN in PyTorch 2.14)."""
    program = (
        "import torch; from nas.operations import FactorizedReduce; torch.set_num_threads(1)\n"
        "reduce = FactorizedReduce(8, 8).to(memory_format=torch.channels_last)\n"
        "x = torch.randn(8, 8, 48, 48).to(memory_format=torch.channels_last).requires_grad_()\n"
        "for _ in range(20): reduce(x).square().mean().backward()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
