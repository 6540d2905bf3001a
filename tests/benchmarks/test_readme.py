"""What the README shows is true: its suite plans, its Python runs, its config builds, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, word: str) -> str:
    """The only code block of ``language`` that holds ``word``."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if word in text]
    assert len(found) == 1
    return found[0]


def naswild(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from benchmarks.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_the_suite_of_ones_own_cell_plans(tmp_path: Path) -> None:
    from nas import zoo

    (tmp_path / "my_cell.txt").write_text(zoo.genotype("pcdarts_cifar10").to_text())
    (tmp_path / "my-suite.yaml").write_text(block("yaml", "my_cell.txt"))
    planned = naswild("run", "my-suite.yaml", "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    for name in ("my_cell", "random-2", "pdarts_cifar10", "mobilenetv3_small_050"):
        assert name in planned.stdout


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backbones import CellBackbone, save_weights
    from backbones.weights import CellArchitecture, WeightsMetadata
    from nas import build_network

    network = build_network("darts_v2", "imagenet", 4, 3, num_classes=2)
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=2)
    save_weights(tmp_path / "weights.safetensors", network, metadata)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block("python", "import timm"), names)
    assert isinstance(names["backbone"], CellBackbone)


def test_the_config_names_a_backbone_that_mmdet_builds() -> None:
    pytest.importorskip("mmdet")
    names: dict[str, dict] = {}
    exec(block("python", "mmdetection config"), names)
    from backbones.mmdet_import import prepare

    prepare()
    from importlib import import_module

    from mmdet.registry import MODELS

    for module in names["custom_imports"]["imports"]:
        import_module(module)
    assert MODELS.build(names["model"]["backbone"]).channels == (192, 384, 768)


def test_every_command_exists() -> None:
    for command in {match.split()[0] for match in re.findall(r"naswild ([a-z][a-z ]*)", README)}:
        assert naswild(command, "--help", cwd=ROOT).returncode == 0, command
    targets = set(re.findall(r"^\$ make (\w+)", README, re.MULTILINE))
    assert targets == {"demo", "test"}
    assert all(f"\n{target}:" in (ROOT / "Makefile").read_text() for target in targets)
