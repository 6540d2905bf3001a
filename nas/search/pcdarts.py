"""PC-DARTS (Xu et al. 2020): one channel in four passes the operations, and edges carry weights of their own."""

from __future__ import annotations

from nas.search.outcome import SearchOutcome
from nas.search.progressive import progressive_search
from nas.search.recipe import SearchRecipe
from nas.search.steps import Rules
from nas.search.task import SearchTask

# PC-DARTS, section 4.2: K = 4 lets the batch grow to 256, with a learning rate of 0.1; 15 of 50 epochs warm up.
DEFAULTS = SearchRecipe(
    cells=(8,),
    operations=(8,),
    channels=(16,),
    skip_dropout=(0.0,),
    epochs=50,
    warmup_epochs=15,
    batch_size=256,
    weights_lr=0.1,
    max_skips=None,
    partial=4,
    edge_normalisation=True,
)


def search_pcdarts(task: SearchTask) -> SearchOutcome:
    """First-order optimisation; the recipe's ``partial`` and ``edge_normalisation`` make it PC-DARTS."""
    task.recipe.require_one_stage(task.method)
    return progressive_search(task, Rules())
