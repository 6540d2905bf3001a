"""Data parallelism as torchrun starts it, on CPU by gloo: one result, known to every process."""

from __future__ import annotations

import json
import os
import socket
import traceback
from pathlib import Path
from typing import Any

import pytest

from detection.data import CocoData
from detection.recipe import DetectRecipe, Execution
from detection.train import DetectOutcome, run_detection

pytest.importorskip("mmdet")
import torch


def in_processes(count: int, task: Any, folder: Path) -> list[dict[str, Any]]:
    """Run ``task()`` in ``count`` forked processes with torchrun's environment; what each returned, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in here.items()} | {"MASTER_ADDR": "127.0.0.1"})
            status = 1
            try:
                (folder / f"{rank}.json").write_text(json.dumps(task()))
                status = 0
            finally:  # pytest must not see the exception of a forked copy of itself
                if status:
                    traceback.print_exc()
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")
def test_two_processes_train_one_detector(
    tiny_backbone: str, digits: CocoData, quick: DetectRecipe, tmp_path: Path
) -> None:
    recipe = quick.model_copy(update={"batch_size": 4, "epochs": 2, "milestones": (1,)})

    def task() -> dict[str, Any]:
        steps: list[int] = []
        outcome: DetectOutcome = run_detection(
            tiny_backbone,
            digits,
            recipe,
            seed=1,
            workdir=tmp_path / "run",
            execution=Execution(engine="pycocotools"),  # hotcoco's threads do not survive the fork
            report=lambda progress: steps.append(progress.steps),
        )
        known = {"metrics": outcome.metrics, "history": outcome.history, "device": outcome.device, "steps": steps[0]}
        return known | {"attempts": outcome.attempts}

    first = in_processes(2, task, tmp_path)
    assert first[0]["metrics"] == first[1]["metrics"]
    assert first[0]["steps"] == 3  # 12 images, 4 a step over both processes
    assert first[0]["device"].startswith("2 x ")
    assert len(first[0]["history"]) == 2
    again = in_processes(2, task, tmp_path)  # from the resume point: nothing is left to train
    assert again[0]["metrics"] == first[0]["metrics"]
    assert again[0]["attempts"] == 2
