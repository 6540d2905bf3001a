"""The documentation is true: its module and suite run, its links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.protocol import load_protocol

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
ROOT_PAGES = [ROOT / name for name in ("README.md", "AGENTS.md", "CONTRIBUTING.md")]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_the_extensions_run_as_they_are_printed(tmp_path: Path) -> None:
    page = ROOT / "docs" / "extending.md"
    (tmp_path / "my_module.py").write_text("\n\n".join(blocks(page, "python")))
    protocol, suite = blocks(page, "yaml")
    (tmp_path / "my-protocol.yaml").write_text(protocol)
    (tmp_path / "my-suite.yaml").write_text(suite)
    code = "from benchmarks.cli import main; main()"
    command = [sys.executable, "-c", code, "run", "my-suite.yaml", "--slots", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "mine" / "results").glob("*.json")]
    kept = {r["backbone"]["name"]: r["metrics"]["kept"]["value"] for r in results if r["kind"] == "contrast"}
    assert kept.keys() == {"deepest-of-ten@stripes", "random-0", "my_resnet"}
    assert all(value >= 0 for value in kept.values())
    assert "kept" in done.stdout  # its own table is printed


def links(page: Path) -> set[Path]:
    """The files that a page links to."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets if not target.startswith(("http:", "https:"))}


@pytest.mark.parametrize("page", [*PAGES, *ROOT_PAGES], ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        assert target.exists(), target


def test_every_page_is_in_the_index_and_the_index_in_the_readme() -> None:
    index = ROOT / "docs" / "README.md"
    assert index in links(ROOT / "README.md")
    assert links(index) == {page for page in PAGES if page != index}
    lines = [line for line in index.read_text(encoding="utf-8").splitlines() if "](" in line]
    assert len(lines) == len(PAGES) - 1  # one line each
    assert {ROOT / "AGENTS.md", ROOT / "CONTRIBUTING.md"} <= links(ROOT / "README.md")


@pytest.mark.parametrize("page", [*PAGES, *ROOT_PAGES], ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_named_source_files_exist(page: Path) -> None:
    packages = "nas|backbones|detection|reid|benchmarks|tests|docs"
    ending = r"\.py|\.yaml|\.md|/" if page in ROOT_PAGES else r"\.py|\.yaml|\.md"
    for path in re.findall(rf"`((?:{packages})/[\w./-]*(?:{ending}))`", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


def test_the_protocol_of_ones_own_loads(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(blocks(ROOT / "docs" / "protocols.md", "yaml")[0])
    recipe = load_protocol(str(path), "reid", "reid.recipe:ReidRecipe").recipe
    assert (recipe.erasing, recipe.epochs) == (0.5, 60)
