"""No two visits to an image draw alike, whatever carries the index; the same visit draws the same in every run."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detection.data import CocoData

pytest.importorskip("mmdet")

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.hooks import RuntimeInfoHook
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner

from detection import mmdet_models  # noqa: F401
from detection.visits import CountVisits, Visit
from nas.errors import NaswildError

IMAGES = 12
SHUFFLED = {"type": "DefaultSampler", "shuffle": True}
INFINITE = {"type": "InfiniteSampler", "shuffle": True}

Draws = list[tuple[int, float, float]]  # image, a draw of NumPy's generator, one of Python's


@TRANSFORMS.register_module()
class DrawOnly(BaseTransform):
    """Stands for an augmentation: gives what it would draw."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        return {"image": results["img_id"], "numpy": np.random.random(), "python": random.random()}


@MODELS.register_module()
class Listener(BaseModel):
    """Learns nothing and keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.draws: Draws = []

    def forward(self, mode: str = "tensor", **batch: Any) -> dict[str, Tensor]:  # noqa: ARG002
        self.draws += zip(*(batch[name].tolist() for name in ("image", "numpy", "python")), strict=True)
        return {"loss": self.weight * 0}


@pytest.fixture(autouse=True)
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mmengine's probe of the environment, which starts compilers, and its formatting of the config."""
    for slow in ("_log_env", "dump_config"):
        monkeypatch.setattr(Runner, slow, lambda *_: None)
    monkeypatch.setattr(RuntimeInfoHook, "before_run", lambda *_: None)
    monkeypatch.setattr(RuntimeInfoHook, "before_train", lambda *_: None)


def settings(data: CocoData, workdir: Path, seed: int = 0, **loader: Any) -> dict[str, Any]:
    """A config without any hook of ours."""
    dataset = {
        "type": "CocoFormatDataset",
        "ann_file": str(data.train.annotations),
        "data_prefix": {"img": str(data.train.images)},
        "augment_seed": seed,
        "pipeline": [{"type": "DrawOnly"}],
    }
    wrapper = loader.pop("wrapper", lambda inner: inner)
    return {
        "model": {"type": "Listener"},
        "default_scope": "mmdet",
        "work_dir": str(workdir),
        "randomness": {"seed": seed},
        "experiment_name": f"{workdir.name}-{random.random()}",
        "train_dataloader": {
            "batch_size": 4,
            "num_workers": 0,
            "collate_fn": {"type": "default_collate"},
            **loader,
            "dataset": wrapper(dataset),
        },
        "train_cfg": {"by_epoch": True, "max_epochs": 3},
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.0}},
        "custom_hooks": [],
        "log_level": "WARNING",
    }


def train(config: dict[str, Any]) -> Draws:
    runner = Runner.from_cfg(Config(config))
    runner.train()
    return runner.model.draws


def assert_all_differ(draws: Draws, visits: int) -> None:
    """Every image was visited so often, each time with other draws of both generators."""
    by_image = defaultdict(list)
    for image, *values in draws:
        by_image[image].append(values)
    assert len(by_image) == IMAGES
    for values in by_image.values():
        assert len(values) == visits
        assert len({value[0] for value in values}) == len({value[1] for value in values}) == visits


def counted(sampler: dict[str, Any]) -> dict[str, Any]:
    return {"type": "CountVisits", "sampler": sampler}


def repeat(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RepeatDataset", "times": 2, "dataset": inner}


def join(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "ConcatDataset", "datasets": [inner, inner]}


@pytest.mark.parametrize("workers", [{}, {"num_workers": 2, "persistent_workers": True}], ids=str)
@pytest.mark.parametrize("wrapper", [None, repeat, join])
def test_every_visit_draws_anew(digits: CocoData, tmp_path: Path, workers: Any, wrapper: Any) -> None:
    loader = {"sampler": counted(SHUFFLED), **workers} | ({"wrapper": wrapper} if wrapper else {})
    assert_all_differ(train(settings(digits, tmp_path, **loader)), visits=6 if wrapper else 3)


@pytest.mark.parametrize("workers", [{}, {"num_workers": 2, "persistent_workers": True}], ids=str)
@pytest.mark.parametrize("order", [SHUFFLED, INFINITE], ids=lambda o: o["type"])
def test_a_loop_of_iterations_draws_anew(digits: CocoData, tmp_path: Path, workers: Any, order: Any) -> None:
    config = settings(digits, tmp_path, sampler=counted(order), **workers)
    config["train_cfg"] = {"by_epoch": False, "max_iters": 3 * IMAGES // 4}
    assert_all_differ(train(config), visits=3)


def test_draws_depend_on_the_seed_and_not_on_the_workers(digits: CocoData, tmp_path: Path) -> None:
    options = {"sampler": counted(SHUFFLED)}
    alone = train(settings(digits, tmp_path, **options))
    for workers in ({"num_workers": 1}, {"num_workers": 2, "persistent_workers": True}):
        assert alone == train(settings(digits, tmp_path, **options, **workers))
    other = train(settings(digits, tmp_path, **options, seed=1))
    assert not {draw[1] for draw in alone} & {draw[1] for draw in other}


@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(
    digits: CocoData, tmp_path: Path, *, by_epoch: bool
) -> None:
    """With mmengine's own checkpoints, in the middle of a pass where it counts iterations."""
    config = settings(digits, tmp_path / "run", sampler=counted(SHUFFLED if by_epoch else INFINITE), num_workers=2)
    end, stop = ("max_epochs", 2) if by_epoch else ("max_iters", 5)
    config["train_cfg"] = {"by_epoch": by_epoch, end: 3 if by_epoch else 9}
    config["default_hooks"] = {"checkpoint": {"type": "CheckpointHook", "interval": 1, "by_epoch": by_epoch}}
    whole = train(config | {"work_dir": str(tmp_path / "whole")})
    first = train(config | {"train_cfg": config["train_cfg"] | {end: stop}})
    rest = train(config | {"resume": True})
    assert whole == first + rest


@pytest.mark.parametrize("order", [SHUFFLED, INFINITE], ids=lambda o: o["type"])
def test_processes_share_the_visits_of_one(order: dict[str, Any]) -> None:
    """Two processes together ask for what one asks for, pass by pass."""
    dataset = list(range(IMAGES))

    def visits(rank: int, processes: int) -> list[tuple[int, tuple[int, ...]]]:
        sampler = CountVisits(dataset, order, seed=0)
        sampler.sampler.rank, sampler.sampler.world_size = rank, processes
        if order is SHUFFLED:
            sampler.sampler.num_samples = IMAGES // processes
        else:
            sampler.sampler.indices = sampler.sampler._indices_of_rank()
        stream = iter(sampler)
        passes = 1 if order is SHUFFLED else 3
        return [(int(visit), visit.path) for visit, _ in zip(stream, range(passes * IMAGES // processes), strict=False)]

    together = visits(0, 2) + visits(1, 2)
    assert len(set(together)) == len(together)
    assert sorted(together) == sorted(visits(0, 1))


def test_an_index_given_twice_in_a_pass_is_two_visits() -> None:
    visits = list(CountVisits([0, 1], {"type": "DefaultSampler", "shuffle": False}))
    assert [visit.path for visit in visits] == [(0, 0), (0, 1)]
    sampler = CountVisits([0, 1, 2], {"type": "DefaultSampler", "shuffle": False})
    sampler.sampler = [2, 2, 2]  # type: ignore[assignment]
    assert len({visit.path for visit in sampler}) == 3


def test_plain_indices_are_counted_here_and_refused_in_workers(digits: CocoData, tmp_path: Path) -> None:
    assert_all_differ(train(settings(digits, tmp_path, sampler=INFINITE) | infinitely()), visits=3)
    with pytest.raises(NaswildError, match="CountVisits"):
        train(settings(digits, tmp_path, sampler=INFINITE, num_workers=1) | infinitely())


def infinitely() -> dict[str, Any]:
    return {"train_cfg": {"by_epoch": False, "max_iters": 3 * IMAGES // 4}}


def test_an_index_stays_a_number() -> None:
    import pickle

    visit = pickle.loads(pickle.dumps(Visit(7, (2, 7))))
    assert (visit, visit.path) == (7, (2, 7))
    assert [(visit - 3, (visit - 3).path), (visit % 5, (visit % 5).path)] == [(4, (2, 7)), (2, (2, 7))]
