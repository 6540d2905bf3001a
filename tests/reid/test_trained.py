"""A trained PCB is scored again exactly, on other sets and on your own folders, from its file alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.weights import load_network
from nas.errors import NaswildError, UnknownName
from nas.train_recipe import Execution
from reid.datasets import load_reid_data
from reid.outcome import ReidOutcome
from reid.ranking import evaluate
from reid.recipe import ReidRecipe
from reid.train import run_reid
from reid.trained import Trained, images_in, rank_folders, score_pcb

RECIPE = ReidRecipe(
    height=96, width=48, reduced_dim=16, epochs=1, batch_size=12, backbone_multiplier=1.0, dropout=0.2, flip_test=True
)
SOURCES = {
    "darts_v2": {"channels": 4, "cells": 3},
    "timm:test_resnet": {},
    "torchreid:osnet_x0_25": {},
}


def train(root: Path, folder: Path, source: str) -> ReidOutcome:
    return run_reid(
        *(source, root, "market1501", RECIPE),
        **{"parts": 3, "seed": 3, "workdir": folder, "execution": Execution(workers=0), **SOURCES[source]},
    )


@pytest.fixture(scope="module")
def trained(tiny_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> ReidOutcome:
    return train(tiny_sets, tmp_path_factory.mktemp("trained"), "darts_v2")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a fresh process."""
    call = [str(Path(sys.executable).with_name("naswild")), "evaluate", *map(str, arguments)]
    settings = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(call, capture_output=True, text=True, check=True, env=settings)


@pytest.mark.parametrize("source", list(SOURCES))
def test_scoring_again_gives_the_score_at_the_end_of_training(tiny_sets, tmp_path, source):
    outcome = train(tiny_sets, tmp_path, source)
    scored = score_pcb(Trained.open(outcome.weights), tiny_sets)
    assert dict(scored.found.ranking.metrics) == dict(outcome.metrics)


def test_a_fresh_process_prints_the_score_and_exports_descriptors(tiny_sets, trained, tmp_path):
    file = tmp_path / "market.npz"
    done = command("--weights", trained.weights, "--task", "reid", "--root", tiny_sets, "--descriptors", file)
    assert f"mAP      {trained.metrics['mAP']:.2%}" in done.stdout
    kept = np.load(file)
    labels = (kept[f"{part}_{what}"] for what in ("ids", "cameras") for part in ("query", "gallery"))
    again = evaluate(kept["query"], kept["gallery"], *labels)
    assert again.metrics == pytest.approx(dict(trained.metrics))
    data = load_reid_data(tiny_sets, "market1501")
    assert kept["gallery_paths"].tolist() == [person.path for person in data.gallery]


def test_a_network_of_one_set_is_scored_on_another(tiny_sets, trained):
    done = command("--weights", trained.weights, "--task", "reid", "--root", tiny_sets, "--on", "dukemtmcreid")
    assert done.stdout.startswith("DukeMTMC-reID, 14 queries")
    assert "trained on market1501, 3 parts" in done.stdout


@pytest.mark.parametrize("form", ["csv", "json"])
def test_own_folders_are_ranked_by_distance(tiny_sets, trained, tmp_path, form):
    home = tiny_sets / "market1501" / "Market-1501-v15.09.15"
    folders, file = (home / "query", home / "bounding_box_test"), tmp_path / f"nearest.{form}"
    options = ("--query", folders[0], "--gallery", folders[1], "--ranking", file, "--top", 4)
    command("--weights", trained.weights, "--task", "reid", *options)
    rows = list(csv.DictReader(file.open())) if form == "csv" else json.loads(file.read_text())
    network = Trained.open(trained.weights)
    query, gallery = (torch.nn.functional.normalize(network.describe(images_in(folder)), dim=1) for folder in folders)
    expected = (1 - query @ gallery.T).sort(dim=1, stable=True)
    assert len(rows) == 4 * len(query)
    assert [int(row["rank"]) for row in rows[:5]] == [1, 2, 3, 4, 1]
    found = torch.tensor([float(row["distance"]) for row in rows]).view(-1, 4)
    torch.testing.assert_close(found, expected.values[:, :4], atol=1e-5, rtol=0)
    assert rows[0]["gallery"] == images_in(folders[1])[int(expected.indices[0, 0])]


def test_what_cannot_be_done_is_said(trained, tmp_path):
    with pytest.raises(NaswildError, match="no classifier; score it: naswild evaluate --weights"):
        load_network(trained.weights)
    with pytest.raises(UnknownName, match="rerank"):
        Trained.open(trained.weights, {"re_rank": True})
    with pytest.raises(NaswildError, match="has no images"):
        rank_folders(Trained.open(trained.weights), tmp_path, tmp_path, top=1)
