"""Learning rate and drop-path rate as functions of the epoch, written as the formulas they are."""

from __future__ import annotations

import math

from nas.train_recipe import RetrainRecipe

GENTLE_EPOCHS = 5  # length of the last, gentler slope of "linear_gentle_end"


def learning_rate(recipe: RetrainRecipe, epoch: int) -> float:
    """The learning rate throughout ``epoch`` (from 0); during warm-up it is scaled by (epoch + 1) / warmup_epochs."""
    peak, end, epochs = recipe.learning_rate, recipe.final_learning_rate, recipe.epochs
    if recipe.schedule == "cosine":
        share = (1 + math.cos(math.pi * epoch / epochs)) / 2
    elif recipe.schedule == "linear":
        share = 1 - epoch / epochs
    elif recipe.schedule == "linear_gentle_end":
        share = _gentle_end(epoch, epochs)
    else:
        share = 1.0
    warmup = min(1.0, (epoch + 1) / recipe.warmup_epochs) if recipe.warmup_epochs else 1.0
    return warmup * (end + (peak - end) * share)


def _gentle_end(epoch: int, epochs: int) -> float:
    """Falls by 1 / (epochs - 5) an epoch, five times more slowly over the last five."""
    steep = epochs - GENTLE_EPOCHS
    left = epochs - epoch
    if steep <= 0:
        return left / epochs
    return (left - GENTLE_EPOCHS) / steep if left > GENTLE_EPOCHS else left / (GENTLE_EPOCHS * steep)


def drop_path_rate(recipe: RetrainRecipe, epoch: int) -> float:
    """Probability of dropping a path in ``epoch`` (from 0): linear from 0 towards ``drop_path``, or constant."""
    return recipe.drop_path * (epoch / recipe.epochs if recipe.drop_path_ramp == "linear" else 1.0)
