"""DARTS (Liu, Simonyan, Yang 2019), first and second order: one stage, all operations, any number of skip-connects.

A recipe with ``skip_dropout`` and ``max_skips`` plugs P-DARTS' search space regularisation in (section 5.2.3: a test
error of 2.78 instead of 3.00).
"""

from __future__ import annotations

from nas.search.outcome import SearchOutcome
from nas.search.progressive import progressive_search
from nas.search.recipe import SearchRecipe
from nas.search.steps import Rules
from nas.search.task import SearchTask

# DARTS, section 3.1: 8 cells, 16 channels, 50 epochs of batch 64, Adam with rate 3e-4.
DEFAULTS = SearchRecipe(
    cells=(8,),
    operations=(8,),
    channels=(16,),
    skip_dropout=(0.0,),
    epochs=50,
    warmup_epochs=0,
    batch_size=64,
    alphas_lr=3e-4,
    max_skips=None,
)


def search_darts(task: SearchTask) -> SearchOutcome:
    """First-order approximation: the weights are taken as they are."""
    task.recipe.require_one_stage(task.method)
    return progressive_search(task, Rules())


def search_darts2(task: SearchTask) -> SearchOutcome:
    """Second order: the architecture's gradient is taken after a virtual weight step."""
    task.recipe.require_one_stage(task.method)
    return progressive_search(task, Rules(second_order=True))
