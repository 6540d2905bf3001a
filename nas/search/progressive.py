"""A search in stages: search, prune, deepen, search again (sections 4.2 and 4.3). With one stage it is DARTS."""

from __future__ import annotations

from functools import partial

from nas.search.data import SearchData
from nas.search.derivation import alternatives, derive, prune
from nas.search.journal import Journal
from nas.search.loop import search_stage
from nas.search.outcome import SearchOutcome, StageOutcome, count_survivors, leading_operations
from nas.search.space import OperationSets, full_space
from nas.search.stage import Stage
from nas.search.steps import Rules
from nas.search.task import SearchTask


def progressive_search(task: SearchTask, rules: Rules) -> SearchOutcome:
    """Run every stage of ``task.recipe`` and derive the genotype from the last.

    Network and architecture weights start anew in each stage; what passes on is which operations survive on which edge.
    """
    journal = Journal(task.workdir, task.identity, task.checkpoint_seconds)
    data = SearchData(task.proxy, task.recipe, task.seed, task.device)
    operations: OperationSets = full_space()
    for index in range(task.recipe.stages):
        if index > 0:
            earlier = journal.done[index - 1]
            operations = prune(earlier.operations, earlier.alphas, task.recipe.operations[index])
        if index < len(journal.done):
            continue
        stage = Stage(index, operations, task.recipe, task.proxy.num_classes, task.seed, task.device)
        if index > 0 and task.recipe.carry_alphas:
            stage.architecture.carry_over(journal.done[-1].operations, journal.done[-1].alphas)
        journal.resume(stage)
        search_stage(stage, data, rules, keep=partial(journal.keep, stage), report=task.report)
        journal.finish(_stage_outcome(stage, journal.done))
    last = journal.done[-1]
    outcome = task.outcome(last.genotype, journal.done, journal.attempts)
    journal.close()
    return outcome


def _stage_outcome(stage: Stage, done: list[StageOutcome]) -> StageOutcome:
    recipe, alphas, edges = stage.recipe, stage.architecture.values(), stage.architecture.edge_values()
    leading = leading_operations(stage.operations, alphas)
    genotype = derive(stage.operations, alphas, recipe.max_skips, recipe.exact_skips, recipe.refinement, edges)
    return StageOutcome(
        stage=stage.index,
        cells=recipe.cells[stage.index],
        channels=recipe.channels[stage.index],
        operations={cell: tuple(map(tuple, sets)) for cell, sets in stage.operations.items()},
        alphas=alphas,
        edge_weights=edges,
        genotype=genotype,
        alternatives=alternatives(stage.operations, alphas, recipe.refinement, edges),
        survivors=count_survivors(done[-1], leading) if done else None,
        trajectory=stage.trajectory,
        seconds=stage.meter.seconds,
        peak_memory_bytes=stage.meter.peak_memory,
        parameters=sum(p.numel() for p in stage.supernet.parameters()),
    )
