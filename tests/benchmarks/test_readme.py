"""What the README shows is true: tables of a mini run, a suite that plans, Python that runs, commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from synthetic import mini_results

from benchmarks.render import demo
from benchmarks.render.demo import demo_tables
from benchmarks.store import save_result
from nas.errors import NaswildError

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- demo:begin -->\n(.*?)<!-- demo:end -->", re.DOTALL)


def block(language: str, word: str) -> str:
    """The only code block of ``language`` that holds ``word``."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if word in text]
    assert len(found) == 1
    return found[0]


def naswild(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from benchmarks.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def demo_table(page: str) -> list[list[str]]:
    """The cells of the table between a page's demo comments."""
    (found,) = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return cells(found)


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


@pytest.mark.parametrize("page", ["README.md", "docs/benchmark.md"])
def test_the_demo_table_has_the_columns_and_rows_of_a_mini_run(page: str) -> None:
    shown, made = demo_table(page), cells(demo_tables(mini_results())[page])
    assert shown[0] == made[0]  # columns and units
    names = [[row[shown[0].index("Backbone")].replace("\\", "") for row in table] for table in (shown, made)]
    assert names[0] == [name.replace("timm:resnet10t", "mobilenetv3_small_050") for name in names[1]]
    titles = [[row[0] for row in table if row[0].startswith("*")] for table in (shown, made)]
    assert titles[0] == titles[1]
    assert all(len(row) == len(shown[0]) for row in shown)


def test_the_demo_table_holds_the_backbones_of_the_mini_suite() -> None:
    text = (ROOT / "benchmarks" / "suites" / "mini.yaml").read_text(encoding="utf-8")
    suite = yaml.load(text, yaml.BaseLoader)  # YAML 1.1 would read the key "on" as true
    expected = {"chance level"}
    for line in suite["backbones"]:
        expected |= {line[kind] for kind in ("zoo", "timm") if kind in line}
        if "search" in line:
            expected.add(f"{line['search']['method']}@{line['search']['on']}")
        if "random" in line:
            expected.add(f"random cells, mean of {line['random']}")
    rows = [row for row in demo_table("README.md")[2:] if not row[0].startswith("*")]
    assert {row[2].replace("\\", "") for row in rows} == expected


def test_a_run_is_copied_into_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for result in mini_results():
        save_result(tmp_path / "runs" / "mini", result)
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/benchmark.md"):
        (tmp_path / page).write_text((ROOT / page).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["demo"])
    demo.main()
    for page, table in demo_tables(mini_results()).items():
        text = (tmp_path / page).read_text(encoding="utf-8")
        assert f"<!-- demo:begin -->\n{table}\n<!-- demo:end -->" in text
        assert BLOCK.sub("", text) == BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))  # nothing else changed
    with pytest.raises(NaswildError, match="found 0"):
        demo.fill("a page without the comments", "table")


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
