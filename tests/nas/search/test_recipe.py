"""The recipe: the paper's numbers, the schedules, and what is refused."""

import math
from itertools import pairwise

import pytest
from pydantic import ValidationError

from nas.errors import NaswildError, UnknownName
from nas.search import SearchRecipe, default_recipe
from nas.search.published import require_method


def test_defaults_are_the_papers():
    recipe = SearchRecipe()
    assert (recipe.cells, recipe.operations, recipe.channels) == ((5, 11, 17), (8, 5, 3), (16, 16, 16))
    assert (recipe.epochs, recipe.warmup_epochs, recipe.batch_size) == (25, 10, 96)
    assert recipe.skip_dropout == (0.0, 0.4, 0.7)
    assert (recipe.alphas_lr, recipe.alphas_decay, recipe.alphas_betas) == (6e-4, 1e-3, (0.5, 0.999))
    assert (recipe.max_skips, recipe.exact_skips, recipe.refinement) == (2, False, "at_once")
    assert recipe.augmentation.cutout == 0


def test_dropout_decays_exponentially_within_a_stage():
    recipe = SearchRecipe()
    rates = [recipe.dropout_rate(2, epoch) for epoch in range(25)]
    assert rates[0] == 0.7
    assert rates[-1] == pytest.approx(0.06 * 0.7)
    ratios = [b / a for a, b in pairwise(rates)]
    assert max(ratios) - min(ratios) < 1e-12
    assert recipe.dropout_rate(0, 5) == 0.0


def test_dropout_as_in_the_official_code():
    recipe = SearchRecipe(skip_dropout_decay="official_code", skip_dropout=(0.1, 0.4, 0.7))
    assert recipe.dropout_rate(1, 0) == pytest.approx(0.4 * 0.96)
    assert recipe.dropout_rate(1, 9) == pytest.approx(0.4 * 0.6)
    assert recipe.dropout_rate(1, 10) == 0.4
    assert recipe.dropout_rate(1, 24) == pytest.approx(0.4 * math.exp(-2.8))


def test_learning_rate_is_a_cosine():
    recipe = SearchRecipe(epochs=20)
    assert recipe.learning_rate(0) == 0.025
    assert recipe.learning_rate(10) == pytest.approx(0.0125)
    assert 0 < recipe.learning_rate(19) < 0.001


def test_temperature_is_linear():
    recipe = SearchRecipe(epochs=11, temperature=(10.0, 0.0 + 1.0))
    assert [recipe.gumbel_temperature(e) for e in (0, 5, 10)] == pytest.approx([10.0, 5.5, 1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operations": (8, 5)}, "one value per stage"),
        ({"operations": (8, 3, 5)}, "never grows"),
        ({"operations": (5, 3, 2)}, "starts with all 8"),
        ({"warmup_epochs": 25}, "none of 25 epochs"),
        ({"partial": 3}, "does not divide"),
        ({"cells": (2, 11, 17)}, "greater than or equal to 3"),
        ({"learning_rate": 0.1}, "Extra inputs"),
        ({"skip_dropout": (0.0, 0.4, 1.0)}, "less than 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        SearchRecipe(**changes)


def test_methods_have_recipes_of_their_own():
    darts = default_recipe("darts")
    assert (darts.cells, darts.epochs, darts.warmup_epochs, darts.max_skips) == ((8,), 50, 0, None)
    assert default_recipe("darts", epochs=3).epochs == 3
    with pytest.raises(NaswildError, match="search recipe for darts: epochs"):
        default_recipe("darts", epochs=0)
    with pytest.raises(UnknownName, match="did you mean 'pdarts'"):
        default_recipe("pdart")


def test_one_stage_methods_refuse_more():
    with pytest.raises(NaswildError, match="darts searches in one stage; this recipe has 3"):
        require_method("darts", SearchRecipe())
