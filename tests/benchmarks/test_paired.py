"""Two backbones on the same items: scores kept beside results, and the paired bootstrap of their difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.items import Resampled, load_items, load_resampled, save_items
from benchmarks.paired import compare
from benchmarks.statistics import resampled_difference
from benchmarks.store import Result
from nas.errors import NaswildError, UnknownName

MakeResult = Callable[..., Result]
EASE = np.random.default_rng(0).random(400)  # how easy each image is: what makes two backbones' scores correlate


def kept(run_dir: Path, result: Result, name: str, seed: int, scores: np.ndarray) -> Result:
    """The result as of backbone ``name``, with its items on disk."""
    job = f"{name}-{seed}"
    artifacts = {
        what: str(path.relative_to(run_dir)) for what, path in save_items(run_dir, job, {"top1": scores}).items()
    }
    backbone = result.backbone.model_copy(update={"name": name})
    return result.model_copy(
        update={"key": job, "job": job, "seed": seed, "backbone": backbone, "artifacts": artifacts}
    )


def right(better: float, seed: int) -> np.ndarray:
    noise = 0.1 * np.random.default_rng(seed).random(EASE.size)
    return (EASE + better + noise > 0.6).astype(float)


def test_scores_come_back_in_order_and_other_metrics_have_none(tmp_path: Path, make_result: MakeResult) -> None:
    result = kept(tmp_path, make_result(), "a", 0, right(0.0, 1))
    assert load_items(tmp_path, result, "top1").tolist() == right(0.0, 1).tolist()
    assert load_items(tmp_path, result, "top5") is None
    (tmp_path / result.artifacts["per_item"]).write_bytes(b"cut")
    with pytest.raises(NaswildError, match="cannot be read"):
        load_items(tmp_path, result, "top1")


def test_no_scores_leave_no_file(tmp_path: Path) -> None:
    assert save_items(tmp_path, "job", {}) == {}
    assert list(tmp_path.iterdir()) == []


def test_pairing_tells_a_difference_that_the_two_means_alone_do_not(tmp_path: Path, make_result: MakeResult) -> None:
    results = [
        kept(tmp_path, make_result(), "a", 0, right(0.03, 1)),
        kept(tmp_path, make_result(), "b", 0, right(0.0, 1)),
    ]
    (pair,) = compare(tmp_path, results, "a", "b")
    assert pair.difference.mean == pytest.approx(pair.means[0] - pair.means[1])
    assert pair.difference.n == 400
    assert pair.difference.interval.low > 0
    unpaired = 1.96 * np.sqrt(sum(mean * (1 - mean) / 400 for mean in pair.means))
    assert pair.difference.mean < unpaired  # an interval from the two means alone would hold 0


def test_swapping_the_sides_swaps_the_sign(tmp_path: Path, make_result: MakeResult) -> None:
    results = [
        kept(tmp_path, make_result(), "a", 0, right(0.05, 1)),
        kept(tmp_path, make_result(), "b", 0, right(0.0, 2)),
    ]
    (forth,), (back,) = compare(tmp_path, results, "a", "b"), compare(tmp_path, results, "b", "a")
    assert forth.difference.mean == pytest.approx(-back.difference.mean)


def test_seeds_are_averaged_item_by_item_and_counted(tmp_path: Path, make_result: MakeResult) -> None:
    results = [kept(tmp_path, make_result(), "a", seed, right(0.05, seed)) for seed in range(3)]
    results.append(kept(tmp_path, make_result(), "b", 0, right(0.0, 9)))
    (pair,) = compare(tmp_path, results, "a", "b")
    assert pair.runs == (3, 1)
    assert pair.means[0] == pytest.approx(np.mean([right(0.05, seed).mean() for seed in range(3)]))
    assert "not training seeds" in pair.difference.interval.covers


def test_different_numbers_of_items_are_refused(tmp_path: Path, make_result: MakeResult) -> None:
    results = [
        kept(tmp_path, make_result(), "a", 0, right(0, 1)),
        kept(tmp_path, make_result(), "b", 0, right(0, 1)[:9]),
    ]
    with pytest.raises(NaswildError, match=r"\[9, 400\] items"):
        compare(tmp_path, results, "a", "b")


def drawn(run_dir: Path, result: Result, name: str, seed: int, scores: np.ndarray, sets: int = 7) -> Result:
    """The same scores, but kept as the mean on sets of images, as a metric is that is not a mean over images."""
    counts = np.random.default_rng(sets).multinomial(scores.size, np.ones(scores.size) / scores.size, size=1000)
    job = f"{name}-{seed}-sets"
    resampled = Resampled(scores.size, sets, {"top1": (counts @ scores / scores.size).tolist()})
    artifacts = {what: str(path.relative_to(run_dir)) for what, path in save_items(run_dir, job, {}, resampled).items()}
    metrics = {"top1": result.metrics["top1"].model_copy(update={"value": float(scores.mean())})}
    backbone = result.backbone.model_copy(update={"name": name})
    changes = {"key": job, "job": job, "seed": seed, "backbone": backbone, "artifacts": artifacts, "metrics": metrics}
    return result.model_copy(update=changes)


def test_a_metric_on_drawn_sets_gives_the_interval_that_single_items_give(
    tmp_path: Path, make_result: MakeResult
) -> None:
    """For a mean over images both ways are the same bootstrap, up to the draws."""
    scores = {("a", 0): right(0.03, 1), ("a", 1): right(0.02, 3), ("b", 0): right(0.0, 2)}
    by_item, by_set = (
        compare(tmp_path, [keep(tmp_path, make_result(), *who, found) for who, found in scores.items()], "a", "b")[0]
        for keep in (kept, drawn)
    )
    assert by_set.difference.mean == pytest.approx(by_item.difference.mean)
    assert (by_set.means, by_set.runs, by_set.difference.n) == (pytest.approx(by_item.means), (2, 1), 400)
    width = by_item.difference.interval.high - by_item.difference.interval.low
    assert by_set.difference.interval.low == pytest.approx(by_item.difference.interval.low, abs=0.1 * width)
    assert by_set.difference.interval.high == pytest.approx(by_item.difference.interval.high, abs=0.1 * width)


def test_results_on_other_sets_are_no_pairs(tmp_path: Path, make_result: MakeResult) -> None:
    results = [
        drawn(tmp_path, make_result(), "a", 0, right(0.0, 1), sets=7),
        drawn(tmp_path, make_result(), "b", 0, right(0.0, 2), sets=8),
    ]
    with pytest.raises(NaswildError, match="different sets of images"):
        compare(tmp_path, results, "a", "b")
    assert load_resampled(tmp_path, results[0], "top5") is None
    (tmp_path / results[0].artifacts["per_item"]).write_bytes(b"cut")
    with pytest.raises(NaswildError, match="cannot be read"):
        load_resampled(tmp_path, results[0], "top1")


def test_sets_without_the_metric_are_left_out_of_the_interval() -> None:
    on_sets = [0.1, 0.2, 0.3, float("nan")]
    found = resampled_difference(0.2, on_sets, n=5)
    assert found is not None
    assert 0.1 <= found.interval.low <= found.interval.high <= 0.3
    assert resampled_difference(0.2, [0.1, float("nan")], n=5) is None
    assert resampled_difference(0.2, on_sets, n=2) is None


def test_unknown_backbones_and_results_without_scores_are_said(tmp_path: Path, make_result: MakeResult) -> None:
    with pytest.raises(UnknownName, match="darts_v2"):
        compare(tmp_path, [make_result()], "darts_v1", "darts_v2")
    with pytest.raises(NaswildError, match="no task has scores"):
        compare(tmp_path, [make_result()], "darts_v2", "darts_v2")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_scores_of_single_images_are_those_behind_the_top1(tmp_path: Path, precision: str) -> None:
    """One pass over the test images gives both: under bf16 a second one in float32 may see other guesses."""
    from nas.evaluate import evaluate_classifier
    from nas.proxies import load_proxy
    from nas.train import new_network, train_classifier
    from nas.train_recipe import Execution, RetrainRecipe

    proxy = load_proxy("digits", image_size=16)
    shape = {"stem": "cifar", "channels": 4, "cells": 3}
    recipe = RetrainRecipe(network=shape, auxiliary_weight=0.0, epochs=1, precision=precision)
    network, passes = new_network("darts_v2", recipe, 10, seed=0), []
    network.classifier.register_forward_hook(lambda module, *_: passes.append(0 if module.training else 1))
    options = {"seed": 0, "workdir": tmp_path, "execution": Execution(accelerator="cpu", workers=0)}
    trained = train_classifier(network, proxy, recipe, **options)
    assert sum(passes) == 2  # batches of 250 cover the 360 test images once
    assert len(trained.answers) == len(proxy.test)
    assert sum(trained.answers) / len(proxy.test) == trained.top1
    assert evaluate_classifier(network, proxy).answers.mean() == pytest.approx(trained.top1, abs=0.03)
    again = train_classifier(
        new_network("darts_v2", recipe, 10, seed=0), proxy, recipe, **options
    )  # nothing left to do
    assert again.answers == trained.answers


def test_queries_of_one_person_are_one_draw_and_other_persons_are_no_pair(
    tmp_path: Path, make_result: MakeResult
) -> None:
    def queries(name: str, scores: np.ndarray, persons: list[int]) -> Result:
        found = save_items(tmp_path, name, {"top1": scores}, groups=persons)
        artifacts = {what: str(path.relative_to(tmp_path)) for what, path in found.items()}
        backbone = make_result().backbone.model_copy(update={"name": name})
        return make_result().model_copy(update={"key": name, "job": name, "backbone": backbone, "artifacts": artifacts})

    persons = np.repeat(np.arange(40), 10).tolist()
    a, b = queries("a", np.repeat(EASE[:40], 10), persons), queries("b", np.repeat(EASE[40:80], 10), persons)
    (pair,) = compare(tmp_path, [a, b], "a", "b")
    once = stats.ttest_rel(EASE[:40], EASE[40:80]).confidence_interval(0.95)
    assert pair.difference.interval is not None
    assert (pair.difference.interval.low, pair.difference.interval.high) == pytest.approx(tuple(once), abs=1e-6)
    with pytest.raises(NaswildError, match="other"):
        compare(tmp_path, [a, queries("b", right(0.0, 2), persons[::-1])], "a", "b")
