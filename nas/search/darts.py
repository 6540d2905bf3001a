"""DARTS (Liu, Simonyan, Yang 2019), first and second order: one stage, all operations, any number of skip-connects.

A recipe with ``skip_dropout`` and ``max_skips`` plugs P-DARTS' search space regularisation in (section 5.2.3: a test
error of 2.78 instead of 3.00).
"""

from __future__ import annotations

from nas.search.outcome import SearchOutcome
from nas.search.progressive import progressive_search
from nas.search.steps import Rules
from nas.search.task import SearchTask


def search_darts(task: SearchTask) -> SearchOutcome:
    """First-order approximation: the weights are taken as they are."""
    return progressive_search(task, Rules())


def search_darts2(task: SearchTask) -> SearchOutcome:
    """Second order: the architecture's gradient is taken after a virtual weight step."""
    return progressive_search(task, Rules(second_order=True))
