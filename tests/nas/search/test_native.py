"""The compiled kernels equal PyTorch's operations, for every geometry, type and number of threads; and do without."""

import pytest
import torch
from torch.nn import functional

from nas import native
from nas.native import library
from nas.native.choice import choose
from nas.native.library import Geometry
from nas.search.architecture import ArchitectureWeights
from nas.search.chain import Link, Norm, chain
from nas.search.recipe import SearchRecipe
from nas.search.space import full_space
from nas.search.supernet import Supernet

needs_compiler = pytest.mark.skipif(native.kernels() is None, reason=f"no compiled kernels here: {native.status()}")
GROUPS = 2


def parts(channels, kernels, repeats, dtype):
    """Weights of a chain: for each link one tensor per kernel size and the 1x1 weights."""
    draw = torch.Generator().manual_seed(0)
    width = channels * GROUPS * len(kernels)
    return [
        (
            [torch.randn(channels * GROUPS, 1, k, k, generator=draw, dtype=dtype) for k in kernels],
            torch.randn(width, channels, 1, 1, generator=draw, dtype=dtype),
        )
        for _ in range(repeats)
    ]


def plain(x, weights, scale, running, geometries, training):
    """The chain as a sequence of PyTorch's operations on one kernel size after the other."""
    spread = [x] * len(weights[0][0])
    for number, ((kernels, pointwise), (stride, dilation)) in enumerate(zip(weights, geometries)):
        out = []
        for part, kernel in zip(spread, kernels):
            groups = kernel.shape[0] // part.shape[1] if number == 0 else 1
            part = torch.cat([functional.relu(part)] * groups, dim=1)
            pad = dilation * (kernel.shape[-1] // 2)
            out.append(functional.conv2d(part, kernel, None, stride, pad, dilation, groups=kernel.shape[0]))
        joined = functional.conv2d(torch.cat(out, 1), pointwise, groups=len(pointwise) // pointwise.shape[1])
        joined = functional.batch_norm(joined, *running[number], training=training)
        spread = joined.split([kernel.shape[0] for kernel in kernels], dim=1)
    return joined * scale.view(1, -1, 1, 1)


def both(dtype, channels=4, kernels=(3, 5), stride=1, dilation=1, repeats=2, training=True, size=9, broken=None):
    """Output, gradients and running statistics of the plain chain and of the compiled one; ``broken`` holds a NaN."""
    geometries = [Geometry(stride, dilation)] + [Geometry(1, dilation)] * (repeats - 1)
    weights = parts(channels, kernels, repeats, dtype)
    width = len(weights[0][1])
    x = torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)
    scale = torch.rand(width, generator=torch.Generator().manual_seed(2), dtype=dtype)
    if broken is not None:
        {"x": x, "depthwise": weights[0][0][0], "pointwise": weights[0][1]}[broken][0, 0] = torch.nan
    found = []
    for compiled in (False, True):
        leaves = [x.clone(), scale.clone(), *(w.clone() for kernels_, p in weights for w in (*kernels_, p))]
        for leaf in leaves:
            leaf.requires_grad_()
        running = [(torch.full((width,), 0.1, dtype=dtype), torch.full((width,), 2.0, dtype=dtype)) for _ in geometries]
        mine, step = [], len(kernels) + 1
        for number in range(repeats):
            own = leaves[2 + number * step : 2 + (number + 1) * step]
            mine.append((own[:-1], own[-1]))
        if compiled:
            links = [Link(k, p, g, r) for (k, p), g, r in zip(mine, geometries, running)]
            out = chain(leaves[0], links, leaves[1], Norm(training, 1e-5, 0.1))
        else:
            out = plain(leaves[0], mine, leaves[1], running, geometries, training)
        seed = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=dtype)
        gradients = torch.autograd.grad((out * seed).sum(), leaves)
        found.append([out.detach(), *gradients, *(statistic for pair in running for statistic in pair)])
    return zip(*found, strict=True)


@needs_compiler
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [1, 2, 8, 9])
@pytest.mark.parametrize(("stride", "dilation", "repeats"), [(1, 1, 2), (2, 1, 2), (1, 2, 1), (2, 2, 1)])
def test_equals_pytorch_in_double_precision(stride, dilation, repeats, size, training):
    for expected, found in both(
        torch.float64, stride=stride, dilation=dilation, repeats=repeats, training=training, size=size
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@needs_compiler
@pytest.mark.parametrize("channels", [4, 8, 16, 32])
@pytest.mark.parametrize(("stride", "dilation", "repeats"), [(1, 1, 2), (2, 1, 2), (1, 2, 1), (2, 2, 1)])
def test_single_precision_is_as_near_to_the_truth_as_pytorch(stride, dilation, repeats, channels):
    geometry = {"channels": channels, "stride": stride, "dilation": dilation, "repeats": repeats}
    truth = [expected for expected, _ in both(torch.float64, **geometry)]
    for (theirs, ours), exact in zip(both(torch.float32, **geometry), truth, strict=True):
        size = exact.abs().max()
        error, reference = ((value.double() - exact).abs().max() / size for value in (ours, theirs))
        assert error < max(4 * reference, 1e-5)


@needs_compiler
def test_the_number_of_threads_changes_no_bit():
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append([found for _, found in both(torch.float32, channels=16)])
    torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@needs_compiler
@pytest.mark.parametrize("broken", ["x", "depthwise", "pointwise"])
def test_what_is_not_a_number_stays_so_as_in_pytorch(broken):
    found = list(both(torch.float64, broken=broken))
    assert found[0][0].isnan().any()
    for expected, mine in found:
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-10, equal_nan=True)


@needs_compiler
def test_a_dead_weight_shows_in_the_loss_whatever_computes_it(monkeypatch):
    losses = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(library, "kernels", lambda: None)
        torch.manual_seed(0)
        supernet = Supernet(full_space(), 4, 3, 5, SearchRecipe())
        architecture = ArchitectureWeights(full_space(), 1e-3)
        with torch.no_grad():
            next(p for name, p in supernet.named_parameters() if "pointwise.0" in name)[0, 0] = torch.nan
        logits = supernet(torch.randn(4, 3, 8, 8), architecture())
        losses.append(functional.cross_entropy(logits, torch.arange(4)).item())
    assert losses == pytest.approx([torch.nan] * 2, nan_ok=True)


@pytest.mark.parametrize(
    ("channels", "dtype", "words"),
    [
        (4, torch.float32, "native kernels"),
        (6, torch.float32, "PyTorch (6 channels are not a multiple of 4, which the compiled kernels ask for)"),
        (4, torch.bfloat16, "PyTorch (the compiled kernels have float32 and float64 only)"),
    ],
)
@needs_compiler
def test_a_supernet_says_what_computed_its_convolutions(monkeypatch, caplog, channels, dtype, words):
    calls = []
    run = library._run
    monkeypatch.setattr(library, "_run", lambda *arguments: (calls.append(arguments[0]), run(*arguments)))
    supernet = Supernet(full_space(), channels, 3, 5, SearchRecipe()).to(dtype)
    with caplog.at_level("INFO", logger="nas"):
        for _ in range(2):
            supernet(torch.randn(2, 3, 8, 8, dtype=dtype), ArchitectureWeights(full_space()).to(dtype)())
    assert supernet.runs_on == words
    assert bool(calls) == (words == "native kernels")
    assert [record.message for record in caplog.records] == [f"separable convolutions run on {words}"]


def test_without_compiled_kernels_the_reason_is_said(monkeypatch):
    absent = native.Native(None, "PyTorch (NASWILD_NATIVE is 0)")
    monkeypatch.setattr(native, "_load", lambda: absent)
    assert choose(torch.zeros(1, 4, 1, 1), [torch.zeros(4, 4, 1, 1)]) == (False, "PyTorch (NASWILD_NATIVE is 0)")
