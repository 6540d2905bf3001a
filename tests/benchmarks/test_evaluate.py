"""``naswild evaluate --weights``: the score of trained weights alone, on any classification set or COCO-format data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_cli import naswild

from backbones.metadata import CellArchitecture
from backbones.weights import WeightsMetadata, save_weights
from benchmarks.scoring import score_classifier, score_detector
from nas.errors import NaswildError, UnknownName
from nas.evaluate import evaluate_classifier
from nas.network import build_network
from nas.progress import Progress
from nas.proxies import load_proxy


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network for digits of 16 pixels, with a normalisation that is not the set's own."""
    torch.manual_seed(0)
    network = build_network("darts_v2", "cifar", channels=4, cells=3, num_classes=10)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    metadata = WeightsMetadata(
        architecture=CellArchitecture.of(network.body),
        num_classes=10,
        classes=tuple("0123456789"),
        mean=(0.4, 0.4, 0.4),
        std=(0.2, 0.2, 0.2),
        input_size=(3, 16, 16),
    )
    save_weights(path, network, metadata)
    return path


def test_the_file_decides_size_and_normalisation(weights: Path) -> None:
    import dataclasses

    from backbones.weights import load_network

    seen: list[Progress] = []
    found = score_classifier(weights, "digits", report=seen.append)
    proxy = dataclasses.replace(load_proxy("digits", image_size=16), mean=(0.4,) * 3, std=(0.2,) * 3)
    expected = evaluate_classifier(load_network(weights), proxy)
    assert (found.score.top1, found.score.top5, found.score.images) == (expected.top1, expected.top5, 360)
    assert found.score.loss == pytest.approx(expected.loss, rel=1e-5)
    assert found.score.loss != pytest.approx(evaluate_classifier(load_network(weights), load_proxy("digits")).loss)
    assert (seen[-1].stage, seen[-1].fraction) == ("evaluate", 1.0)


def test_the_command_prints_scores_count_and_seconds(weights: Path, tmp_path: Path) -> None:
    done = naswild("evaluate", "--weights", str(weights), "--task", "digits", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    score = score_classifier(weights, "digits").score
    assert lines[0].startswith("digits, test: 360 images of 10 classes, version ")
    assert lines[1].split()[:2] == ["top1", f"{score.top1:.2%}"]
    assert lines[2].split()[:2] == ["top5", f"{score.top5:.2%}"]
    assert lines[4].startswith("seconds")
    assert not (tmp_path / "runs").exists()  # nothing is stored


def folder(root: Path, names: tuple[str, ...]) -> Path:
    for part in ("train", "test"):
        for index, name in enumerate(names):
            (root / part / name).mkdir(parents=True)
            for number in range(2):
                colour = (20 * index, 100 * number, 90)
                Image.new("RGB", (16, 16), colour).save(root / part / name / f"{number}.png")
    return root


def test_a_named_set_is_read_from_its_root_and_a_folder_by_itself(weights: Path, tmp_path: Path) -> None:
    root = folder(tmp_path / "digits-as-files", tuple("0123456789"))
    by_name, by_path = score_classifier(weights, "cifar10", root=root), score_classifier(weights, str(root))
    assert by_name.score == by_path.score
    assert (by_name.proxy.name, by_name.score.images) == ("cifar10", 20)


def test_corrupt_images_are_an_error_or_left_out(weights: Path, tmp_path: Path) -> None:
    root = folder(tmp_path / "set", tuple("0123456789"))
    (root / "test" / "3" / "1.png").write_bytes(b"no image")
    with pytest.raises(NaswildError, match=r"1 of 40 images cannot be decoded"):
        score_classifier(weights, str(root))
    found = score_classifier(weights, str(root), options={"corrupt": "skip"})
    assert found.score.images == 19


def test_other_classes_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(NaswildError, match="the same, in the same order"):
        score_classifier(weights, str(folder(tmp_path / "letters", tuple("abcdefghij"))))
    with pytest.raises(NaswildError, match=r"10 classes apart .* has 2"):
        score_classifier(weights, str(folder(tmp_path / "two", ("0", "1"))))


def test_unknown_options_are_refused(weights: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'corrupt'"):
        score_classifier(weights, "digits", options={"corupt": "skip"})


def test_a_detector_is_scored_and_its_submission_written(tmp_path: Path) -> None:
    """From the command that trains it to the file for COCO's server, on a small set laid out as COCO 2017."""
    pytest.importorskip("mmdet")
    from detection.compose import make_digits_coco

    data = make_digits_coco(tmp_path / "made", seed=0, train=8, val=4, image_size=96)
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for part in ("train", "val"):
        (root / f"{part}2017").symlink_to(data.split(part).images)
        (root / "annotations" / f"instances_{part}2017.json").symlink_to(data.split(part).annotations)
    (root / "test2017").symlink_to(tmp_path / "made" / "val", target_is_directory=True)
    unlabelled = {key: value for key, value in data.val.read().items() if key != "annotations"}
    (root / "test2017").unlink()
    (root / "test2017").mkdir()
    for image in unlabelled["images"]:
        Image.open(data.val.images / image["file_name"]).save(root / "test2017" / image["file_name"])
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(unlabelled))
    protocol = tmp_path / "tiny.yaml"
    protocol.write_text(
        "name: tiny\nversion: 1\nstage: detect\nsource: made up\nrecipe: {input_size: 64, epochs: 1, batch_size: 4, "
        "schedule: cosine, warmup_steps: 0, shape: {channels: 4, cells: 5, extra_channels: [16]}, "
        "score_threshold: 0.0, nms_candidates: 20}\n"
    )
    task = ("--task", "detect", "--root", str(root))
    done = naswild("evaluate", "darts_v2", *task, "--protocol", str(protocol), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (detector,) = (tmp_path / "runs" / "evaluate").glob("jobs/*/detector.pth")
    alone = naswild("evaluate", "--weights", str(detector), *task, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert "0 missing, 0 unexpected" in alone.stdout
    assert "no boxes to measure" in alone.stdout  # four images do not hold ten classes
    assert "-100" not in alone.stdout
    reference = score_detector(detector, root, options={"engine": "pycocotools"}).scores
    assert reference is not None
    assert all(f"{name:6} {value:.2%}" in alone.stdout for name, value in reference.stats.items() if value >= 0)
    with pytest.raises(UnknownName, match="algorithm"):
        score_detector(detector, root, options={"algorithm": "darts"})
    (result,) = (json.loads(path.read_text()) for path in (tmp_path / "runs" / "evaluate" / "results").glob("*.json"))
    assert f"AP50   {result['metrics']['AP50']['value']:.2%}" in alone.stdout
    submit = naswild(
        "evaluate", "--weights", str(detector), *task, "--format-only", "-o", "algorithm=darts", "--out", "sent",
        cwd=tmp_path,
    )  # fmt: skip
    assert submit.returncode == 0, submit.stderr
    rows = json.loads((tmp_path / "sent" / "detections_test-dev2017_darts_results.json").read_text())
    assert {row["image_id"] for row in rows} <= {image["id"] for image in unlabelled["images"]}
    assert rows
