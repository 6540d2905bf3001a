"""The page on searching is true: its Python runs as printed, and its tables name every method and field."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nas.search import SearchOutcome, default_recipe, method_names, search
from nas.search import methods as registry
from nas.search.recipe import SearchRecipe

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")


def block(word):
    """The only Python block of the page that holds ``word``."""
    (found,) = (text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in text)
    return found


@pytest.fixture(autouse=True)
def _no_other_methods(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})


def test_the_search_in_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block("load_proxy"), names)
    assert SearchOutcome.load("runs/my-search/search.json") == names["outcome"]
    assert "Genotype(normal=[" in capsys.readouterr().out


def test_the_method_of_ones_own_searches(tmp_path):
    from nas.proxies import load_proxy

    exec(block("register_method"), {})
    tiny = {"cells": (3, 3), "operations": (8, 3), "channels": (2, 2), "skip_dropout": (0.0, 0.4)}
    short = {"epochs": 1, "warmup_epochs": 0, "images": 128, "image_size": 8, "batch_size": 64}
    recipe = default_recipe("soft-gdas", **tiny, **short)
    outcome = search("soft-gdas", load_proxy("digits"), recipe, seed=0, workdir=tmp_path)
    assert outcome.method == "soft-gdas"
    assert len(outcome.stages) == 2


def test_the_command_of_that_method_runs_at_the_temperature_it_was_registered_with(tmp_path):
    """In a fresh process; the protocol is the page's, with less to do."""
    (tmp_path / "my_search.py").write_text(block("register_method"))
    (tmp_path / "short.yaml").write_text(
        "name: short\nversion: 1\nstage: search\nsource: us\nextends: search-mini\n"
        "recipe: {epochs: 1, warmup_epochs: 0, images: 128}\n"
    )
    (words,) = re.findall(r"`naswild (search --method soft-gdas .*?)`", PAGE)
    options = words.replace("search-mini", "short.yaml").split()
    command = [sys.executable, "-c", "from benchmarks.cli import main; main()", *options, "--run-dir", "run"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (tmp_path / "run" / "jobs").glob("*/search.json")
    assert SearchOutcome.load(found).recipe["temperature"] == [5.0, 0.5]


def test_every_method_is_on_the_page():
    assert all(f"`{name}`" in PAGE for name in method_names())


def test_the_fields_that_differ_from_the_official_code_exist():
    table = PAGE.split("| field |")[1].split("\n\n")[0]
    fields = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert len(fields) >= 7
    assert fields <= SearchRecipe.model_fields.keys()


def test_every_file_it_names_exists():
    for path in set(re.findall(r"`((?:nas|tests|benchmarks)/[\w/.]+)`", PAGE)):
        assert (ROOT / path).exists(), path
