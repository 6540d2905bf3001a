"""The Triton kernels equal PyTorch's convolutions, run by Triton's interpreter where there is no GPU."""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from nas.native.gpu import Groups
from nas.native.library import Geometry

pytest.importorskip("triton")
SOURCES, REACHES, STATES = [0, 1, 0, 1, 1], [1, 1, 2, 2, 1], 2


GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
# Triton decides when it is imported whether its kernels are interpreted.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
here = pytest.mark.skipif(not (GPU or INTERPRETED), reason="runs in the process that interprets the kernels")


@pytest.mark.skipif(GPU or INTERPRETED, reason="the tests below run in this process")
def test_the_kernels_interpreted():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def separable(monkeypatch):
    """The function; its products of matrices are in full precision."""
    from nas.native.separable_triton import separable

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return separable


def kernels(channels):
    """5x5 kernels (groups * C, 1, 5, 5), zero beyond the reach of a 3x3 one."""
    weight = torch.randn(len(SOURCES) * channels, 1, 5, 5, device=DEVICE)
    for group, reach in enumerate(REACHES):
        if reach == 1:
            ring = torch.ones(5, 5, dtype=torch.bool, device=DEVICE)
            ring[1:4, 1:4] = False
            weight[group * channels : (group + 1) * channels, :, ring] = 0
    return weight


def plain(x, depthwise, pointwise, channels, geometry):
    """One convolution after the other, from the definition."""
    outputs = []
    for group, source in enumerate(SOURCES):
        rows = slice(group * channels, (group + 1) * channels)
        state = x[:, source * channels : (source + 1) * channels]
        pad = 2 * geometry.dilation
        out = functional.conv2d(state, depthwise[rows], None, geometry.stride, pad, geometry.dilation, groups=channels)
        outputs.append(functional.conv2d(out, pointwise[rows]))
    return torch.cat(outputs, dim=1)


@here
@pytest.mark.parametrize("size", [(7, 8), (4, 4), (1, 1)])
@pytest.mark.parametrize("geometry", [Geometry(1, 1), Geometry(2, 1), Geometry(1, 2), Geometry(2, 2)], ids=str)
@pytest.mark.parametrize("channels", [5, 16])
def test_equals_the_definition(separable, channels, geometry, size):
    torch.manual_seed(0)
    x = torch.randn(2, STATES * channels, *size, device=DEVICE).to(memory_format=torch.channels_last)
    depthwise, pointwise = (
        kernels(channels),
        torch.randn(len(SOURCES) * channels, channels, 1, 1, device=DEVICE),
    )
    groups = Groups(SOURCES, REACHES, STATES).to(DEVICE)
    leaves = [tensor.requires_grad_() for tensor in (x, depthwise, pointwise)]
    found = separable(x, depthwise, pointwise, groups, geometry)
    expected = plain(x, depthwise, pointwise, channels, geometry)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    seed = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad((out * seed).sum(), leaves) for out in (found, expected))
    reached = (depthwise != 0).float()  # what surrounds a smaller kernel is not a parameter
    for one, other, factor in zip(ours, theirs, (1, reached, 1)):
        torch.testing.assert_close(one, other * factor, rtol=0, atol=1e-4 * max(1, other.abs().max().item()))


@here
def test_gradients_that_nobody_wants_are_not_computed(separable):
    x = torch.randn(2, STATES * 4, 5, 5, device=DEVICE, requires_grad=True)
    depthwise, pointwise = kernels(4), torch.randn(len(SOURCES) * 4, 4, 1, 1, device=DEVICE)
    out = separable(x, depthwise, pointwise, Groups(SOURCES, REACHES, STATES).to(DEVICE), Geometry(1, 1))
    expected = plain(x, depthwise, pointwise, 4, Geometry(1, 1))
    (one,), (other,) = (torch.autograd.grad(value.square().sum(), x) for value in (out, expected))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@here
@pytest.mark.parametrize("broken", ["x", "depthwise", "pointwise"])
def test_what_is_not_a_number_stays_so(separable, broken):
    torch.manual_seed(0)
    tensors = {
        "x": torch.randn(2, STATES * 4, 5, 5, device=DEVICE),
        "depthwise": kernels(4),
        "pointwise": torch.randn(len(SOURCES) * 4, 4, 1, 1, device=DEVICE),
    }
    at = {"x": (0, 0), "depthwise": (0, 0, 2, 2), "pointwise": (0, 0)}[broken]  # a channel, a middle tap, a weight
    tensors[broken][at] = torch.nan
    geometry = Geometry(1, 1)
    found = separable(*tensors.values(), Groups(SOURCES, REACHES, STATES).to(DEVICE), geometry)
    expected = plain(*tensors.values(), 4, geometry)
    assert found.isnan().any()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4, equal_nan=True)
