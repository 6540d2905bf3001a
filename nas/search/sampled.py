"""Methods that sample the architecture: SNAS (Xie et al. 2019) and GDAS (Dong and Yang 2019).

Both draw the mixture from a Gumbel softmax whose temperature falls. SNAS uses the soft sample and trains architecture
and weights together on the same batches; GDAS uses the hardened sample, one operation an edge, and alternates.
"""

from __future__ import annotations

from nas.search.outcome import SearchOutcome
from nas.search.progressive import progressive_search
from nas.search.steps import Rules
from nas.search.task import SearchTask


def search_snas(task: SearchTask) -> SearchOutcome:
    """Soft samples, one level: every batch of the weights' half teaches the architecture too."""
    return progressive_search(task, Rules(sampling="gumbel", joint=True, derivation="snas"))


def search_gdas(task: SearchTask) -> SearchOutcome:
    """Hard samples with straight-through gradients, two levels."""
    return progressive_search(task, Rules(sampling="gumbel_hard", derivation="gdas"))
