"""The control of section 5.2.2: P-DARTS' last stage alone, its operations drawn at random instead of approximated.

In a suite: ``imports: [benchmarks.random_space]`` and ``search: {method: pdarts-random-space, ...}``, with the protocol
of the P-DARTS search that it is compared with. It also shows how to register a search method from
outside.
"""

from __future__ import annotations

import random

from nas.operations import SEARCH_SPACE
from nas.search.data import SearchData
from nas.search.journal import Journal
from nas.search.methods import register_method
from nas.search.outcome import SearchOutcome
from nas.search.progressive import run_stage
from nas.search.recipe import SearchRecipe
from nas.search.space import CELLS, EDGES
from nas.search.stage import Stage
from nas.search.steps import Rules
from nas.search.task import SearchTask
from nas.seeding import derive_seed

NAME = "pdarts-random-space"


def search_random_space(task: SearchTask) -> SearchOutcome:
    """Search the last stage of ``task.recipe`` on operation sets that only the seed decides."""
    recipe, team = task.recipe, task.team
    journal = Journal(task.workdir, task.identity, task.execution.checkpoint_seconds, team)
    if not journal.done:
        data = SearchData(task.proxy, recipe, task.seed, team, task.execution.workers)
        last = recipe.stages - 1
        operations = random_operations(recipe.operations[last], task.seed)
        stage = Stage(last, operations, recipe, task.proxy.num_classes, task.seed, team.device)
        run_stage(task, Rules(), stage, data, journal)
    return task.outcome(journal.done[-1].genotype, journal.done, journal.attempts)


def random_operations(count: int, seed: int) -> dict[str, tuple[tuple[str, ...], ...]]:
    """``count`` of the eight operations for every edge of both cells, in the space's order; a function of the seed."""
    draw = random.Random(derive_seed(seed, "random space"))

    def one_edge() -> tuple[str, ...]:
        return tuple(sorted(draw.sample(SEARCH_SPACE, count), key=SEARCH_SPACE.index))

    return {cell: tuple(one_edge() for _ in EDGES) for cell in CELLS}


register_method(NAME, search_random_space, SearchRecipe(), "P-DARTS' last stage on randomly drawn operation sets")
