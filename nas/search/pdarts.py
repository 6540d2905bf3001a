"""P-DARTS: stages of growing depth with ever fewer operations, skip-connects held back (Chen et al., section 4)."""

from __future__ import annotations

from nas.search.outcome import SearchOutcome
from nas.search.progressive import progressive_search
from nas.search.steps import Rules
from nas.search.task import SearchTask


def search_pdarts(task: SearchTask) -> SearchOutcome:
    """First-order alternating optimisation in every stage (section 5.1.1)."""
    return progressive_search(task, Rules())
