"""The search loop, shared by every gradient-based method: alternate between architecture and weights, epoch by epoch.

Architecture steps come before the weight step of each iteration and rest during the warm-up epochs (section 5.1.1).
"""

from __future__ import annotations

from collections.abc import Callable

from nas.progress import Progress, Report
from nas.search.data import SearchData
from nas.search.derivation import derive
from nas.search.outcome import EpochRecord, count_operations, leading_operations
from nas.search.stage import Stage
from nas.search.steps import Rules, accuracy, alphas_step, joint_step, weights_step
from nas.seeding import seed_all

# On a GPU, reading a loss waits for the device: the progress report looks at it only so often.
STEPS_PER_READING = 20


def search_stage(stage: Stage, data: SearchData, rules: Rules, keep: Callable[[], None], report: Report) -> None:
    """Run ``stage`` from wherever it stands to its last epoch.

    ``keep`` is called after every step and may write a checkpoint; ``report`` is told about every step.
    """
    while stage.epoch < stage.recipe.epochs:
        stage.begin_epoch()
        searching = stage.epoch >= stage.recipe.warmup_epochs
        where = (stage.index, stage.epoch, stage.step)
        training, held_out = data.epoch("weights", *where), data.epoch("alphas", *where)
        while stage.step < data.steps:
            batch = next(training)
            other = next(held_out) if searching and not rules.joint else batch
            seed_all(stage.seed, "step", stage.index, stage.epoch, stage.step)
            if searching and rules.joint:
                stage.count("train", *joint_step(stage, rules, batch))
            else:
                if searching:
                    stage.count("alphas", *alphas_step(stage, rules, other, batch))
                stage.count("train", *weights_step(stage, rules, batch))
            stage.step += 1
            keep()
            report(_progress(stage, data))
        stage.end_epoch(_record(stage, data))
        keep()


def _progress(stage: Stage, data: SearchData) -> Progress:
    metrics: dict[str, float] = {}
    if stage.device.type == "cpu" or stage.step % STEPS_PER_READING == 0:
        metrics = stage.means()
    name = f"search stage {stage.index + 1}/{stage.recipe.stages}"
    return Progress(name, stage.epoch, stage.recipe.epochs, stage.step, data.steps, metrics)


def _record(stage: Stage, data: SearchData) -> EpochRecord:
    """The trajectory's entry for the epoch that just ended."""
    recipe, alphas = stage.recipe, stage.architecture.values()
    free = derive(stage.operations, alphas, edge_weights=stage.architecture.edge_values())
    validate = stage.epoch >= recipe.epochs - recipe.validate_last
    return EpochRecord(
        epoch=stage.epoch,
        alphas=alphas,
        top_operations=count_operations(leading_operations(stage.operations, alphas)),
        skips=free.normal.skips,
        dropout=recipe.dropout_rate(stage.index, stage.epoch),
        learning_rate=recipe.learning_rate(stage.epoch),
        validation_accuracy=accuracy(stage, data.validation()) if validate else None,
        **stage.means(),
    )
