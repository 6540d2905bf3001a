"""A search in stages: search, prune, deepen, search again (sections 4.2 and 4.3). With one stage it is DARTS."""

from __future__ import annotations

from functools import partial

from nas.search.capture import choose_capturer
from nas.search.data import SearchData
from nas.search.derivation import Refinement, Rule, alternatives, derive, prune
from nas.search.journal import Journal
from nas.search.loop import search_stage
from nas.search.outcome import SearchOutcome, StageOutcome, count_survivors, leading_operations
from nas.search.space import OperationSets, full_space
from nas.search.stage import Stage
from nas.search.steps import Rules, Steps
from nas.search.task import SearchTask
from nas.search.team import Team


def progressive_search(task: SearchTask, rules: Rules) -> SearchOutcome:
    """Run every stage of ``task.recipe`` and derive the genotype from the last.

    Network and architecture weights are reinitialised in each stage; only the surviving operations of each edge
    carry over.
    """
    team, recipe = task.team, task.recipe
    journal = Journal(task.workdir, task.identity, task.execution.checkpoint_seconds, team)
    data = SearchData(task.proxy, recipe, task.seed, team, task.execution.workers)
    operations: OperationSets = full_space()
    for index in range(recipe.stages):
        if index > 0:
            earlier = journal.done[index - 1]
            operations = prune(earlier.operations, earlier.alphas, recipe.operations[index])
        if index < len(journal.done):
            continue
        stage = Stage(index, operations, recipe, task.proxy.num_classes, task.seed, team.device)
        if index > 0 and recipe.carry_alphas:
            stage.architecture.carry_over(journal.done[-1].operations, journal.done[-1].alphas)
        run_stage(task, rules, stage, data, journal)
    last = journal.done[-1]
    return task.outcome(last.genotype, journal.done, journal.attempts)


def run_stage(task: SearchTask, rules: Rules, stage: Stage, data: SearchData, journal: Journal) -> None:
    """Bring a new ``stage`` to where the journal left it, and from there to its outcome, which the journal keeps."""
    journal.resume(stage)
    capturer = choose_capturer(task.team.device, task.execution.capture, _obstacle(task, rules))
    steps = Steps(stage, rules, task.team, capturer)
    search_stage(steps, data, partial(journal.keep, stage), task.report)
    journal.finish(_stage_outcome(stage, rules, journal.done, task.team))


def _obstacle(task: SearchTask, rules: Rules) -> str | None:
    """What keeps the steps from being captured on a GPU."""
    if rules.second_order:
        return f"{task.method} moves the weights between its passes"
    if rules.sampling == "gumbel_hard":
        return f"{task.method} computes other operations in each step"
    if task.recipe.checkpointing:
        return "checkpointing saves and restores random generators, which a graph cannot hold"
    return None


def _stage_outcome(stage: Stage, rules: Rules, done: list[StageOutcome], team: Team) -> StageOutcome:
    """What the stage found and cost; time is that of the team's first process, memory that of its largest."""
    recipe, alphas, edges = stage.recipe, stage.architecture.values(), stage.architecture.edge_values()
    leading = leading_operations(stage.operations, alphas)
    by: tuple[Refinement, dict[str, list[float]] | None, Rule] = (recipe.refinement, edges, rules.derivation)
    return StageOutcome(
        stage=stage.index,
        cells=recipe.cells[stage.index],
        channels=recipe.channels[stage.index],
        operations={cell: tuple(map(tuple, sets)) for cell, sets in stage.operations.items()},
        alphas=alphas,
        edge_weights=edges,
        genotype=derive(stage.operations, alphas, recipe.max_skips, recipe.exact_skips, *by),
        alternatives=alternatives(stage.operations, alphas, *by),
        survivors=count_survivors(done[-1], leading) if done else None,
        trajectory=stage.trajectory,
        seconds=team.share(stage.meter.seconds),
        peak_memory_bytes=team.largest(stage.meter.peak_memory),
        parameters=sum(p.numel() for p in stage.supernet.parameters()),
        kernels=stage.supernet.runs_on,
    )
