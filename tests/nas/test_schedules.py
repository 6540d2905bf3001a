"""Learning-rate and drop-path schedules against their formulas, written out."""

import math
from itertools import pairwise

import pytest

from nas.schedules import drop_path_rate, learning_rate
from nas.train_recipe import RetrainRecipe


def rates(**options) -> list[float]:
    recipe = RetrainRecipe(**options)
    return [learning_rate(recipe, epoch) for epoch in range(recipe.epochs)]


def test_cosine_falls_from_the_peak_towards_zero():
    got = rates(epochs=600, learning_rate=0.025)
    assert got[0] == 0.025
    assert got[300] == pytest.approx(0.0125)
    assert got[599] == pytest.approx(0.025 * (1 + math.cos(math.pi * 599 / 600)) / 2)


def test_linear_takes_the_same_step_after_every_epoch():
    got = rates(epochs=250, learning_rate=0.5, schedule="linear")
    assert got[0] == 0.5
    assert [a - b for a, b in pairwise(got)] == pytest.approx([0.5 / 250] * 249)


def test_gentle_end_has_a_fifth_of_the_slope_for_five_epochs():
    got = rates(epochs=250, learning_rate=0.1, schedule="linear_gentle_end")
    steps = [a - b for a, b in pairwise(got)]
    assert got[0] == pytest.approx(0.1)
    assert steps[:244] == pytest.approx([0.1 / 245] * 244)
    assert steps[-4:] == pytest.approx([0.1 / (5 * 245)] * 4)
    assert got[-1] > 0


def test_warm_up_scales_the_first_epochs():
    plain = rates(epochs=250, learning_rate=0.5, schedule="linear")
    warm = rates(epochs=250, learning_rate=0.5, schedule="linear", warmup_epochs=5)
    assert warm[:5] == pytest.approx([value * (e + 1) / 5 for e, value in enumerate(plain[:5])])
    assert warm[5:] == plain[5:]


def test_cosine_can_end_above_zero():
    got = rates(epochs=10, learning_rate=1.0, final_learning_rate=0.1)
    assert got[0] == 1.0
    assert got[5] == pytest.approx(0.55)


def test_drop_path_is_raised_linearly_over_the_epochs():
    recipe = RetrainRecipe()
    assert [drop_path_rate(recipe, epoch) for epoch in (0, 300, 599)] == pytest.approx([0, 0.15, 0.3 * 599 / 600])


def test_drop_path_can_be_constant():
    assert drop_path_rate(RetrainRecipe(drop_path=0.2, drop_path_ramp="constant"), 0) == 0.2


def test_defaults_are_the_papers_values_for_cifar10():
    recipe = RetrainRecipe()
    assert (recipe.network.stem, recipe.network.cells, recipe.network.channels) == ("cifar", 20, 36)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.momentum) == (600, 128, 0.025, 0.9)
    assert (recipe.weight_decay, recipe.drop_path, recipe.auxiliary_weight) == (3e-4, 0.3, 0.4)
    assert (recipe.augmentation.cutout, recipe.schedule, recipe.ema, recipe.select) == (16, "cosine", None, "last")


@pytest.mark.parametrize(
    "options", [{"select": "best"}, {"epochs": 5, "warmup_epochs": 5}, {"learning_rat": 0.1}, {"drop_path": 1.0}]
)
def test_senseless_recipes_are_refused(options):
    with pytest.raises(ValueError):
        RetrainRecipe(**options)
