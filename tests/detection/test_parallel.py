"""Data parallelism as torchrun starts it, on CPU by gloo: one result, known to every process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmdet")

from tiny import start_run

from detection.config import build_config
from detection.data import CocoData
from detection.recipe import DetectRecipe, Execution
from nas.errors import NaswildError

needs_gloo = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")


def train_in_two_processes(data: CocoData, recipe: DetectRecipe, folder: Path) -> list[dict[str, Any]]:
    """What the run in ``folder`` came to, as each of two processes with torchrun's environment knows it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    answers = [folder / f"{rank}.json" for rank in range(2)]
    processes = [
        start_run(
            data,
            recipe,
            folder / "run",
            seed=1,
            environment=place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            answer=answer,
        )
        for rank, answer in enumerate(answers)
    ]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return [json.loads(answer.read_text()) for answer in answers]


@needs_gloo
def test_two_processes_train_one_detector(
    digits: CocoData, quick: DetectRecipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = quick.model_copy(update={"batch_size": 4, "epochs": 2, "milestones": (1,)})
    first = train_in_two_processes(digits, recipe, tmp_path)
    assert "bucket view strides" not in capfd.readouterr().err  # weights are in their final order when they are wrapped
    assert first[0]["metrics"] == first[1]["metrics"]
    assert first[0]["steps"] == 3  # 12 images, 4 a step over both processes
    assert first[0]["device"].startswith("2 x ")
    assert len(first[0]["history"]) == 2
    again = train_in_two_processes(digits, recipe, tmp_path)  # from the resume point: nothing is left to train
    assert again[0]["metrics"] == first[0]["metrics"]
    assert again[0]["attempts"] == 2


def test_a_batch_that_cannot_be_divided_is_refused(digits: CocoData, quick: DetectRecipe, tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match="cannot be divided among 4 processes"):
        build_config({}, digits, quick, Execution(), seed=0, workdir=tmp_path, world_size=4)
