"""Searching on two processes: what one process computes in two parts, and as exactly resumed."""

from functools import partial

import pytest
import torch

from nas.errors import NaswildError
from nas.images import MemoryImages
from nas.launch import run_in_processes
from nas.progress import silent
from nas.proxies import Proxy
from nas.search import SearchExecution, SearchRecipe, search, search_in_processes
from nas.search.capture import Computed
from nas.search.data import SearchData
from nas.search.loop import search_stage
from nas.search.parts import over_parts
from nas.search.space import full_space
from nas.search.stage import Stage
from nas.search.steps import Rules, Steps
from nas.search.team import Team

RECIPE = SearchRecipe(
    cells=(3, 3),
    operations=(8, 3),
    channels=(2, 2),
    skip_dropout=(0.3, 0.5),
    epochs=2,
    warmup_epochs=1,
    batch_size=8,
    validate_last=1,
    alphas_lr=0.01,
    augmentation={"padding": 1, "flip": True, "cutout": 2},
)
METHODS = {
    "first order": Rules(),
    "second order": Rules(second_order=True),
    "sampled": Rules(sampling="gumbel_hard", derivation="gdas"),
    "joint": Rules(sampling="gumbel", joint=True, derivation="snas"),
}
EVERY_STEP = SearchExecution(accelerator="cpu", checkpoint_seconds=0)


def noise():
    pixels = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = MemoryImages(pixels, torch.arange(32) % 3)
    return Proxy("noise", images, images, ("a", "b", "c"), (0.5,) * 3, (0.25,) * 3, 8, "v1")


class DoubleData(SearchData):
    """The same images in double precision, where the order of a sum changes next to nothing."""

    def take(self, epoch):
        return [(images.double(), labels) for images, labels in super().take(epoch)]

    def validation(self):
        return ((images.double(), labels) for images, labels in super().validation())


def one_stage(rules, team):
    """All that a stage is after its two epochs, the second of which searches."""
    stage = Stage(0, full_space(), RECIPE, 3, 0, team.device)
    stage.supernet.double()
    stage.architecture.double()
    search_stage(Steps(stage, rules, team), DoubleData(noise(), RECIPE, 0, team), lambda: None, silent)
    numbers = {**stage.supernet.state_dict(), **stage.architecture.state_dict()}
    last = stage.trajectory[-1].model_dump(exclude={"alphas", "top_operations"})
    numbers |= {name: torch.tensor(value) for name, value in last.items() if isinstance(value, float)}
    return {name: value for name, value in numbers.items() if not name.endswith("num_batches_tracked")}


def stop_in_the_second_stage(progress):
    if progress.stage.startswith("search stage 2") and progress.step == 2:
        raise InterruptedError


def work(workdir, _):
    """What each of two processes does: a stage of every method, a whole search, one stopped and resumed."""
    team = Team.connect(EVERY_STEP)
    found = {name: one_stage(rules, team) for name, rules in METHODS.items()}
    found["whole"] = search("pdarts", noise(), RECIPE, seed=0, workdir=workdir / "whole")
    options = {"seed": 0, "workdir": workdir / "stopped", "execution": EVERY_STEP}
    with pytest.raises(InterruptedError):
        search("pdarts", noise(), RECIPE, report=stop_in_the_second_stage, **options)
    team.wait()
    found["resumed"] = search("pdarts", noise(), RECIPE, **options)
    torch.save(found, workdir / f"found-{team.rank}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found, each for itself."""
    workdir = tmp_path_factory.mktemp("two")
    run_in_processes(partial(work, workdir), processes=2, start_method="fork")
    return [torch.load(workdir / f"found-{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one_that_accumulates_two_parts(two, method):
    """Weights, alphas, running statistics, losses, accuracies, sizes of gradients. Masks are those of a part."""
    alone = one_stage(METHODS[method], Team(torch.device("cpu"), accumulate=2))
    first, second = (found[method] for found in two)
    assert alone.keys() == first.keys()
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-7, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}")


def test_parts_make_a_difference_so_that_the_comparison_means_something(two):
    whole = one_stage(Rules(), Team(torch.device("cpu")))
    assert (whole["alphas.normal"] - two[0]["first order"]["alphas.normal"]).abs().max() > 1e-6


def test_processes_agree_on_the_outcome(two):
    first, second = (found["whole"] for found in two)
    assert first == second
    assert first.device.startswith("2 x cpu")
    assert first.parts == 2


def test_two_processes_resume_to_the_same_bits(two):
    whole, resumed = two[0]["whole"], two[0]["resumed"]
    assert resumed.attempts == 2
    assert [stage.alphas for stage in resumed.stages] == [stage.alphas for stage in whole.stages]
    assert [stage.trajectory for stage in resumed.stages] == [stage.trajectory for stage in whole.stages]


def test_one_program_searches_in_two_processes(two, tmp_path):
    seen = []
    options = {"processes": 2, "seed": 0, "workdir": tmp_path, "report": seen.append, "start_method": "fork"}
    outcome = search_in_processes("pdarts", noise, RECIPE, protocol_hash="abc", **options)
    assert outcome.stages[-1].alphas == two[0]["whole"].stages[-1].alphas
    assert outcome.protocol_hash == "abc"
    assert len(seen) == 8


def test_an_error_in_the_processes_is_raised_as_it_is(tmp_path):
    recipe = RECIPE.model_copy(update={"batch_size": 3})
    options = {"processes": 2, "seed": 0, "workdir": tmp_path, "start_method": "fork"}
    with pytest.raises(NaswildError, match="batch of 3 images cannot be divided into 2 equal parts"):
        search_in_processes("pdarts", noise, recipe, **options)


def test_gradients_of_the_parts_are_summed_and_running_statistics_averaged():
    """Three parts in one process, written out: each moves the statistics from where the step began."""
    statistic = torch.tensor([10.0])
    shared = torch.zeros(1)  # like a captured step, whose output is overwritten by the next call

    def compute(part, batch):
        statistic.mul_(0.5).add_(part)
        return Computed(torch.tensor([1.0, 2.0, 3.0]), [shared.fill_(batch[0])])

    batches = [(torch.tensor(value), torch.tensor(0)) for value in (1.0, 10.0, 100.0)]
    total = over_parts(Team(torch.device("cpu"), accumulate=3), [statistic], batches, compute)
    assert total.gradients[0].item() == 111.0
    assert total.figures.tolist() == [3.0, 6.0, 9.0]
    assert statistic.item() == pytest.approx((5.0 + 6.0 + 7.0) / 3)
