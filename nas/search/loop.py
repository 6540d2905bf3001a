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
from nas.search.steps import Steps
from nas.search.validation import accuracy

# On a GPU, reading a loss waits for the device: the progress report looks at it only so often.
STEPS_PER_READING = 20


def search_stage(steps: Steps, data: SearchData, keep: Callable[[], None], report: Report) -> None:
    """Run the stage of ``steps`` from its current position to its last epoch.

    ``keep`` is called after every step and may write a checkpoint; ``report`` is told about every step.
    """
    stage, joint = steps.stage, steps.rules.joint
    while stage.epoch < stage.recipe.epochs:
        stage.begin_epoch()
        searching = stage.epoch >= stage.recipe.warmup_epochs
        where = (stage.index, stage.epoch, stage.step)
        training, held_out = data.epoch("weights", *where), data.epoch("alphas", *where)
        while stage.step < data.steps:
            batches = data.take(training)
            if searching and joint:
                steps.joint(batches)
            else:
                if searching:
                    steps.alphas(data.take(held_out), batches)
                steps.weights(batches)
            stage.step += 1
            keep()
            report(_progress(stage, data))
        stage.end_epoch(_record(steps, data, searching))
        keep()


def _progress(stage: Stage, data: SearchData) -> Progress:
    metrics: dict[str, float] = {}
    if stage.device.type == "cpu" or stage.step % STEPS_PER_READING == 0:
        metrics = stage.means()
    name = f"search stage {stage.index + 1}/{stage.recipe.stages}"
    return Progress(name, stage.epoch, stage.recipe.epochs, stage.step, data.steps, metrics)


def _record(steps: Steps, data: SearchData, searching: bool) -> EpochRecord:
    """The trajectory's entry for the epoch that just ended."""
    stage = steps.stage
    recipe, alphas = stage.recipe, stage.architecture.values()
    edges = stage.architecture.edge_values()
    free = derive(stage.operations, alphas, edge_weights=edges, rule=steps.rules.derivation)
    validate = stage.epoch >= recipe.epochs - recipe.validate_last
    sampled = steps.rules.sampling != "softmax"
    mixture = stage.architecture.strongest() if sampled else stage.architecture()
    return EpochRecord(
        epoch=stage.epoch,
        alphas=alphas,
        top_operations=count_operations(leading_operations(stage.operations, alphas)),
        skips=free.normal.skips,
        dropout=stage.dropout,
        learning_rate=recipe.learning_rate(stage.epoch),
        validation_accuracy=accuracy(stage, mixture, data.validation(), steps.team) if validate else None,
        validation_of="strongest" if sampled else "mixture",
        alpha_gradients=stage.alpha_gradients() if searching else None,
        **stage.means(),
    )
