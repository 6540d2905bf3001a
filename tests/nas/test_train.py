"""Training: exact resume, the score that counts, the loss, and any network that classifies."""

import dataclasses
import json
import resource

import pytest
import torch
from torch import nn

from nas.errors import NaswildError
from nas.evaluate import evaluate_classifier
from nas.images import MemoryImages
from nas.progress import Progress
from nas.proxies import Proxy
from nas.tensorboard import tensorboard
from nas.train import TrainingDiverged, classification_loss, new_network, train_classifier
from nas.train_recipe import Execution, RetrainRecipe
from tests.nas.tiny_training import EVERY_STEP, TINY, Killed, assert_same, colours, kill_after, train


@pytest.fixture(scope="module")
def proxy() -> Proxy:
    return colours()


@pytest.fixture(scope="module")
def uninterrupted(proxy, tmp_path_factory):
    """(weights, outcome, folder) of a run that is left in peace."""
    workdir = tmp_path_factory.mktemp("whole")
    return *train(proxy, workdir), workdir


@pytest.mark.parametrize("kills", [[1], [2], [3], [4], [2, 5], [6]])
def test_killed_run_ends_with_the_same_bits(proxy, tmp_path, uninterrupted, kills):
    """The runs have 2 x 3 steps; they are killed in and between epochs, once or twice, and after the last step."""
    for steps in kills:
        with pytest.raises(Killed):
            train(proxy, tmp_path, report=kill_after(steps), execution=EVERY_STEP)
    weights, outcome = train(proxy, tmp_path, execution=EVERY_STEP)
    assert_same(weights, uninterrupted[0])
    assert outcome.history == uninterrupted[1].history
    assert outcome.attempts == len(kills) + 1


def test_killed_before_the_first_checkpoint_starts_again_to_the_same_bits(proxy, tmp_path, uninterrupted):
    with pytest.raises(Killed):
        train(proxy, tmp_path, report=kill_after(2))
    assert_same(train(proxy, tmp_path)[0], uninterrupted[0])


def test_resume_is_exact_with_averaged_weights_and_best_epoch(proxy, tmp_path):
    recipe = TINY.model_copy(update={"ema": 0.8, "holdout": 0.25, "select": "best", "epochs": 3})
    whole = train(proxy, tmp_path / "a", recipe)
    with pytest.raises(Killed):
        train(proxy, tmp_path / "b", recipe, report=kill_after(5), execution=EVERY_STEP)
    weights, outcome = train(proxy, tmp_path / "b", recipe)
    assert_same(weights, whole[0])
    assert (outcome.epoch, outcome.top1, outcome.history) == (whole[1].epoch, whole[1].top1, whole[1].history)


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(proxy, tmp_path, uninterrupted, caplog):
    with pytest.raises(Killed):
        train(proxy, tmp_path, report=kill_after(5), execution=EVERY_STEP)
    newest = tmp_path / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    weights, _ = train(proxy, tmp_path)
    assert "damaged" in caplog.text
    assert_same(weights, uninterrupted[0])


def test_the_last_checkpoints_are_kept_as_many_as_asked(proxy, tmp_path):
    with pytest.raises(Killed):
        train(proxy, tmp_path, report=kill_after(5), execution=Execution(checkpoint_seconds=0, checkpoints=3))
    steps = {p.name: torch.load(p)["epoch"] * 3 + torch.load(p)["step"] for p in tmp_path.glob("checkpoint*")}
    assert steps == {"checkpoint.pt": 5, "checkpoint.pt.prev": 4, "checkpoint.pt.prev2": 3}


def test_full_disk_stops_the_run_and_leaves_its_checkpoints_whole(proxy, tmp_path, uninterrupted):
    with pytest.raises(Killed):
        train(proxy, tmp_path, report=kill_after(3), execution=EVERY_STEP)
    before = {p.name: p.read_bytes() for p in tmp_path.glob("checkpoint*")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["checkpoint.pt"]) // 2, limits[1]))
    try:
        with pytest.raises(NaswildError, match="cannot write"):
            train(proxy, tmp_path, execution=EVERY_STEP)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*checkpoint*")} == before
    assert_same(train(proxy, tmp_path)[0], uninterrupted[0])


def test_finished_run_is_not_trained_again(proxy, tmp_path):
    weights, outcome = train(proxy, tmp_path)
    again, loaded = train(proxy, tmp_path, report=kill_after(0))
    assert_same(weights, again)
    assert (loaded.top1, loaded.history, loaded.attempts) == (outcome.top1, outcome.history, 2)


@pytest.mark.parametrize(
    "change", [{"recipe": TINY.model_copy(update={"epochs": 3})}, {"seed": 1}, {"execution": Execution(accumulate=2)}]
)
def test_checkpoint_of_another_run_is_refused(proxy, tmp_path, change):
    train(proxy, tmp_path)
    with pytest.raises(NaswildError, match="another recipe, seed"):
        train(proxy, tmp_path, **change)


@pytest.mark.parametrize("obstacle", ["report", "checkpoint"])
def test_a_network_is_computed_plainly_again_however_the_training_ends(proxy, tmp_path, obstacle):
    """Stopped within a step, or refused before the first by what is in the folder."""
    network = new_network("darts_v2", TINY, proxy.num_classes, seed=0)
    kinds = [type(module) for module in network.modules()]
    if obstacle == "checkpoint":
        train(proxy, tmp_path)
    with pytest.raises(Killed if obstacle == "report" else NaswildError):
        train_classifier(network, proxy, TINY, seed=1, workdir=tmp_path, report=kill_after(1))
    assert [type(module) for module in network.modules()] == kinds
    assert all(parameter.is_contiguous() for parameter in network.parameters())


def test_attempts_and_their_time_add_up(proxy, tmp_path):
    (tmp_path / "attempts.json").write_text(json.dumps({"attempts": 2, "seconds": 1000.0}))
    _, outcome = train(proxy, tmp_path)
    assert outcome.attempts == 3
    assert 1000 < outcome.seconds < 1100
    assert outcome.images_per_second > 0
    assert outcome.peak_memory_bytes > 2**20


def test_scores_of_each_epoch_are_reported(proxy, tmp_path, uninterrupted):
    seen: list[Progress] = []
    train(proxy, tmp_path, report=seen.append)
    assert [(progress.epoch, progress.step, progress.steps) for progress in seen[:4]] == [
        (0, 1, 3),
        (0, 2, 3),
        (0, 3, 3),
        (1, 0, 3),
    ]
    scores = [progress.metrics["test_top1"] for progress in seen if "test_top1" in progress.metrics]
    assert scores == [record["test_top1"] for record in uninterrupted[1].history]
    assert seen[-1].fraction == 1.0


def test_tensorboard_holds_every_metric(proxy, tmp_path, uninterrupted):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard(tmp_path / "board") as report:
        train(proxy, tmp_path / "job", report=report)
    events = event_accumulator.EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 3, 4, 5, 6, 6]
    last = uninterrupted[1].history[-1]["test_top1"]
    assert events.Scalars("train/test_top1")[-1].value == pytest.approx(last)


def test_two_seeds_give_two_networks(proxy, tmp_path, uninterrupted):
    weights, _ = train(proxy, tmp_path, seed=1)
    assert not torch.equal(weights["classifier.weight"], uninterrupted[0]["classifier.weight"])


def test_network_learns_and_the_last_epoch_is_the_result(proxy, tmp_path):
    recipe = TINY.model_copy(update={"epochs": 8, "drop_path": 0.0, "auxiliary_weight": 0.0})
    network = new_network("darts_v2", recipe, 3, seed=0)
    outcome = train_classifier(network, proxy, recipe, seed=0, workdir=tmp_path)
    assert outcome.top1 > 0.8
    assert outcome.top1 == outcome.history[-1]["test_top1"] == evaluate_classifier(network, proxy).top1
    assert (outcome.selected, outcome.epoch, len(outcome.history)) == ("last epoch", 8, 8)


def test_best_epoch_is_chosen_on_held_out_images_and_labelled(proxy, tmp_path):
    recipe = TINY.model_copy(update={"epochs": 4, "holdout": 0.25, "select": "best"})
    network = new_network("pdarts_cifar10", recipe, 3, seed=0)
    outcome = train_classifier(network, proxy, recipe, seed=0, workdir=tmp_path)
    held = [record["holdout_top1"] for record in outcome.history]
    assert outcome.selected == "best epoch on held-out images"
    assert outcome.epoch == held.index(max(held)) + 1
    assert outcome.top1 == evaluate_classifier(network, proxy).top1


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit"])
def test_any_timm_classifier_trains(proxy, tmp_path, name):
    recipe = TINY.model_copy(update={"epochs": 1})
    big = dataclasses.replace(
        proxy,
        image_size=160,
        train=MemoryImages(proxy.train.pixels[:8].repeat(1, 1, 20, 20), proxy.train.labels[:8]),
        test=MemoryImages(proxy.test.pixels.repeat(1, 1, 20, 20), proxy.test.labels),
    )
    _, outcome = train(big, tmp_path, recipe, source=name)
    assert 0 <= outcome.top1 <= outcome.top5 == 1.0  # three classes: every guess is within five


def test_weights_are_averaged_only_where_the_recipe_says_so(proxy, tmp_path, uninterrupted):
    assert RetrainRecipe().ema is None
    assert torch.load(uninterrupted[2] / "checkpoint.pt")["average"] is None
    averaged, _ = train(proxy, tmp_path, TINY.model_copy(update={"ema": 0.5}))
    saved = torch.load(tmp_path / "checkpoint.pt")
    assert_same(averaged, {name: value.contiguous() for name, value in saved["average"].items()})
    assert_same({name: value.contiguous() for name, value in saved["network"].items()}, uninterrupted[0])


def test_loss_that_is_not_a_number_stops_the_run(proxy, tmp_path):
    recipe = TINY.model_copy(update={"learning_rate": 1e30, "gradient_clip": None})
    with pytest.raises(TrainingDiverged, match="lower learning_rate"):
        train(proxy, tmp_path, recipe)


def test_wrong_number_of_classes_is_said(proxy, tmp_path):
    network = new_network("pdarts_cifar10", TINY, 7, seed=0)
    with pytest.raises(NaswildError, match="7 outputs for 3 classes"):
        train_classifier(network, proxy, TINY, seed=0, workdir=tmp_path)


def test_loss_is_smoothed_entropy_plus_weighted_auxiliary_entropy():
    logits, auxiliary = torch.randn(2, 5, 4, dtype=torch.float64).unbind()
    labels = torch.tensor([0, 3, 2, 1, -100])  # the last image is corrupt and does not count
    recipe = TINY.model_copy(update={"label_smoothing": 0.1, "auxiliary_weight": 0.4})
    target = torch.full((4, 4), 0.1 / 4, dtype=torch.float64)
    target[torch.arange(4), labels[:4]] += 0.9

    def entropy(outputs: torch.Tensor) -> torch.Tensor:
        return -(target * outputs[:4].log_softmax(dim=1)).sum()

    total, main, out = classification_loss((logits, auxiliary), labels, recipe)
    assert out is logits
    torch.testing.assert_close(main, entropy(logits))
    torch.testing.assert_close(total, entropy(logits) + 0.4 * entropy(auxiliary))


def test_evaluation_equals_counting_by_hand(proxy):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    pixels = proxy.test.pixels.double() / 255
    inputs = (pixels - torch.tensor(proxy.mean).view(3, 1, 1)) / torch.tensor(proxy.std).view(3, 1, 1)
    logits = network(inputs.float()).detach()
    score = evaluate_classifier(network, proxy)
    assert score.top1 == (logits.argmax(dim=1) == proxy.test.labels).double().mean()
    assert score.loss == pytest.approx(float(nn.functional.cross_entropy(logits, proxy.test.labels)), rel=1e-4)
    assert score.images == 10
