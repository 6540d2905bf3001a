"""Data parallelism as torchrun starts it, on CPU by gloo: every image counted once, one writer, exact resume."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing

from nas.progress import Progress, silent
from nas.train_recipe import Execution
from reid.draw import SetSize, make_reid_sets
from reid.outcome import ReidOutcome
from reid.recipe import ReidRecipe
from reid.train import run_reid
from reid.trained import Trained, score_pcb

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="PyTorch was built without gloo")

# Neither 13 queries nor 29 gallery images divide by two: a padded share would be counted twice if it were not cut off.
UNEVEN = {"market1501": SetSize(12, 60, 6, 13, 25, distractors=4, junk=3)}
RECIPE = ReidRecipe(
    height=96,
    width=48,
    reduced_dim=16,
    epochs=2,
    batch_size=12,
    images_per_identity=3,
    triplet_weight=0.5,
    learning_rate=0.1,
    backbone_multiplier=1.0,
    erasing=0.5,
    dropout=0.2,
)


class Stop(Exception):
    """Stands for a kill."""


def stop_in_second_epoch(progress: Progress) -> None:
    if (progress.stage, progress.epoch, progress.step) == ("train", 1, 2):
        raise Stop


def run(root: Path, workdir: Path, report: Any = silent) -> ReidOutcome:
    return run_reid(
        *("darts_v2", root, "market1501", RECIPE),
        parts=3,
        seed=3,
        workdir=workdir,
        report=report,
        execution=Execution(accelerator="cpu", workers=0, checkpoint_seconds=0),
        channels=4,
        cells=3,
    )


def worker(rank: int, port: int, root: Path, folder: Path) -> None:
    """What one of two processes under torchrun does: a whole run, and one that is stopped and resumed."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    os.environ |= {name: str(value) for name, value in names.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    outcome = run(root, folder / "whole")
    torch.save(
        {
            "metrics": dict(outcome.metrics),
            "queries": outcome.queries,
            "device": outcome.device,
            "wrote_picture": outcome.picture is not None,
        },
        folder / f"whole-{rank}.pt",
    )
    with pytest.raises(Stop):
        run(root, folder / "stopped", stop_in_second_epoch)
    torch.distributed.barrier()
    resumed = run(root, folder / "stopped")
    torch.save({"metrics": dict(resumed.metrics), "attempts": resumed.attempts}, folder / f"resumed-{rank}.pt")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    make_reid_sets(folder / "sets", seed=0, sizes=UNEVEN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.start_processes(worker, (port, folder / "sets", folder), nprocs=2, start_method="fork")
    return folder


def alone(folder: Path, weights_file: Path) -> dict[str, float]:
    """The score of a trained network in this process."""
    network = Trained.open(weights_file, execution=Execution(accelerator="cpu", workers=0))
    return dict(score_pcb(network, folder / "sets").found.ranking.metrics)


def answers(folder: Path, name: str) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{name}-{rank}.pt") for rank in range(2)]


def weights(workdir: Path) -> dict[str, torch.Tensor]:
    return torch.load(workdir / "checkpoint.pt", weights_only=True)["network"]


def test_both_processes_know_the_one_result(two_processes: Path):
    first, second = answers(two_processes, "whole")
    assert first["metrics"] == second["metrics"]
    assert first["queries"] == 13
    assert first["device"].startswith("2 x cpu")
    assert [first["wrote_picture"], second["wrote_picture"]] == [True, False]


def test_shares_of_two_score_as_one_process_does(two_processes: Path):
    """One process scores what two have trained and describes all images by itself: any doubled image would show."""
    together = answers(two_processes, "whole")[0]["metrics"]
    assert alone(two_processes, two_processes / "whole" / "pcb.safetensors") == pytest.approx(together, abs=1e-6)


def test_two_processes_resume_to_the_same_bits(two_processes: Path):
    whole = answers(two_processes, "whole")[0]
    for resumed in answers(two_processes, "resumed"):
        assert resumed["metrics"] == whole["metrics"]
    assert answers(two_processes, "resumed")[0]["attempts"] == 2
    saved, other = weights(two_processes / "whole"), weights(two_processes / "stopped")
    assert [name for name in saved if not torch.equal(saved[name], other[name])] == []
