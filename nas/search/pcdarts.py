"""PC-DARTS (Xu et al. 2020): one channel in four passes the operations, and edges carry weights of their own."""

from __future__ import annotations

from nas.search.outcome import SearchOutcome
from nas.search.progressive import progressive_search
from nas.search.steps import Rules
from nas.search.task import SearchTask


def search_pcdarts(task: SearchTask) -> SearchOutcome:
    """First-order optimisation; the recipe's ``partial`` and ``edge_normalisation`` make it PC-DARTS."""
    return progressive_search(task, Rules())
