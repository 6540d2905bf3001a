"""What pages, headers, docstrings and --help tell the user to type is accepted by the program, with the names in it.

A command of naswild is parsed by the real application. One that would start a run is planned as well: that reads suite,
scale, protocols, methods, backbones, data and the options of tasks as the run itself does. The cheap ones are run.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from shown_commands import ROOT, Shown, in_page, shown_commands

from backbones.source import parse_source
from benchmarks import run as harness
from benchmarks.cli.app import app
from benchmarks.cli.single import settings
from benchmarks.datasets import get_maker
from benchmarks.protocol import load_protocol
from benchmarks.scoring import SCORE_OPTIONS, SUBMISSION_OPTIONS, classification_sets
from benchmarks.suite import load_suite, suite_names
from benchmarks.tasks import get_task
from benchmarks.tasks.proxy import OPTIONS as PROXY_OPTIONS
from nas import zoo
from nas.errors import NaswildError
from nas.search import method_names
from reid.datasets import LAYOUTS
from reid.draw import SIZES
from reid.trained import OPTIONS as PCB_OPTIONS

APP: Any = typer.main.get_command(app)
UsageError: Any = typer.BadParameter.__mro__[1]  # of click, or of the copy of it that typer brings
SHOWN = shown_commands()
NASWILD = [command for command in SHOWN if command.program == "naswild"]
FILES = ("README.md", "docs", "benchmarks/suites", "benchmarks/protocols", "detection/configs", "benchmarks/cli")
PLACEHOLDER = re.compile(r"[A-Z]+")  # FILE, NAME, DIR: the reader's own
OWN = re.compile(r"my[-_]|mine|theirs|soft-gdas")  # what a page has the reader write first
PLANNED = {("run",), ("search",), ("retrain",), ("evaluate",)}
CHEAP = {"--help", "suite show", "zoo list"}  # run in a process of their own; test_cli.py runs others


class Planned(Exception):
    """Raised instead of running a plan, which is its argument."""


class Parsed(Exception):
    """Raised instead of returning what argparse has accepted."""


def resolve(command: Shown) -> tuple[Any, tuple[str, ...], list[str]]:
    """The click command that the words name, its name, and the words after it."""
    found, name, words = APP, [], list(command.words)
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"{command}: no command {words[0]!r} in {sorted(found.commands)}"
        name.append(words.pop(0))
        found = found.commands[name[-1]]
    return found, tuple(name), words


def parse(command: Shown) -> tuple[tuple[str, ...], dict[str, Any], bool]:
    """Name of the command, its parameters as given, and whether they are complete; only inline code may be less."""
    found, name, words = resolve(command)
    if hasattr(found, "commands"):
        assert command.inline and set(words) <= {"--help", "--version"}, f"{command}: not a whole command"
        return name, {}, False
    try:
        return name, found.make_context(name[-1], list(words)).params, True
    except UsageError as error:
        unfinished = "requires an argument" in error.message  # the option that ends it
        if not (command.inline and (unfinished or type(error).__name__ == "MissingParameter")):
            pytest.fail(f"{command}: {error.format_message()}")
    words = words[:-1] if unfinished else words
    return name, found.make_context(name[-1], words, resilient_parsing=True).params, False


WRONG = {
    "naswild run mini --sedes 0": "No such option",
    "naswild run mini about six minutes": "extra argument",
    "naswild zoo shwo darts_v2": "no command 'shwo'",
    "naswild search --method pdarts": "Missing option",
    "naswild search --method pdart --protocol search-mini": "pdart",
    "naswild search --method pdarts --protocol retrain-mini": "stage",
    "naswild run paper-table1 --scale smal": "small",
    "naswild run mini --only darts_v3": "darts_v3",
    "naswild evaluate darts_v2 --task reid --protocol reid-mini --root DIR -o set=market1501 -o part=3": "part",
    "naswild retrain darts_v2 --protocol retrain-cifar10 --on cifar10": "needs --root",
    "naswild retrain darts_v7 --protocol retrain-mini": "darts_v7",
    "naswild data make reid DIR \\\n  -o sizes=larg  # a comment": "larg",
    "naswild table min": "min",
}


@pytest.mark.parametrize(("text", "words"), WRONG.items())
def test_a_wrong_command_is_found_with_its_line(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = in_page(ROOT / "docs" / "page.md", f"# Title\n\n```console\n$ {text}\n```\n")
    with pytest.raises((AssertionError, pytest.fail.Exception), match=words) as caught:
        test_naswild_accepts_it(command, tmp_path, monkeypatch)
    assert "docs/page.md:4" in str(caught.value)


@pytest.mark.parametrize("command", NASWILD, ids=str)
def test_naswild_accepts_it(command: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, given, complete = parse(command)
    monkeypatch.chdir(tmp_path)
    try:
        check_names(name, {key: value for key, value in given.items() if value not in (None, "", [], ())})
        if complete and name in PLANNED and not OWN.search(" ".join(command.words)) and not given.get("weights"):
            check_plan(command, monkeypatch)
    except (NaswildError, UsageError, AssertionError) as error:
        pytest.fail(f"{command}: {error}")


def check_plan(command: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan what the command would run; a set that is not made here needs the folder of the user's copy."""
    if "SUITE" in command.words:  # the template's name for the suite written from it
        return

    def stop(plan: harness.Plan, *_: Any, **__: Any) -> None:
        raise Planned(plan)

    monkeypatch.setattr(harness, "run_plan", stop)
    # A weights file is not there; a cell in its place makes the same plan.
    words = ["darts_v2" if word.endswith(".safetensors") else word for word in command.words if word != "--dry-run"]
    with pytest.raises(Planned) as caught:
        APP.main(words, prog_name="naswild", standalone_mode=False)
    plan = caught.value.args[0]
    assert plan.jobs, f"{command}: nothing to run"
    for job in plan.jobs:
        if job.data is not None and job.data.proxy not in (None, "digits"):
            assert job.data.root is not None, f"{command}: {job.data.proxy} needs --root"


def check_names(name: tuple[str, ...], given: dict[str, Any]) -> None:
    """Raise NaswildError or fail where a name in the command names nothing."""
    for key in ("source", "genotype", "backbone") + (("name",) if name[:1] == ("zoo",) else ()):
        if key in given and not PLACEHOLDER.fullmatch(str(given[key])):
            parse_source(given[key])
    if "protocol" in given and not OWN.match(given["protocol"]):
        load_protocol(given["protocol"], STAGES.get(name) or get_task(given["task"]).stage)
    for parameter, known in KNOWN.get(name, {}).items():
        if parameter in given and not PLACEHOLDER.fullmatch(str(given[parameter])):
            value = str(given[parameter])
            assert OWN.match(value) or value in known(), f"{parameter}: {value!r} is none of {sorted(known())}"
    if "scale" in given:
        load_suite(given["suite"], given["scale"])
    unknown = settings(given.get("options")).keys() - known_options(name, given)
    assert not unknown, f"no such option: {sorted(unknown)}"
    if name == ("data", "make"):
        assert settings(given.get("options")).get("sizes", "mini") in SIZES


STAGES = {("search",): "search", ("retrain",): "retrain"}


def runs() -> set[str]:
    """Names that a run directory can have: those of the suites at all their scales."""
    suites = {name: load_suite(name)[0].scales for name in suite_names()}
    names = {*suites, *(f"{name}-{scale}" for name, scales in suites.items() for scale in scales)}
    return names | {f"runs/{name}" for name in names}


KNOWN: dict[tuple[str, ...], dict[str, Callable[[], Any]]] = {
    ("run",): {"suite": suite_names},
    ("suite", "show"): {"name": suite_names},
    ("search",): {"method": method_names, "on": classification_sets},
    ("retrain",): {"on": classification_sets},
    ("evaluate",): {"task": lambda: {"detect", "reid", *classification_sets()}, "on": lambda: LAYOUTS},
    **{("results", verb): {"run": runs, "into": runs} for verb in ("list", "show", "compare", "add", "merge")},
    ("results", "compare"): {"run": runs, "a": zoo.names, "b": zoo.names},
    ("table",): {"run": runs},
    ("report",): {"run": runs},
}


def known_options(name: tuple[str, ...], given: dict[str, Any]) -> set[str]:
    """Keys that ``--option KEY=VALUE`` takes there."""
    if name == ("retrain",):
        return {*get_task("classify").options, *PROXY_OPTIONS}
    if name == ("data", "make"):
        return set(inspect.signature(get_maker(given["maker"])).parameters) - {"out", "seed"}
    if name == ("swap",):
        from backbones.cell_backbone import CellBackbone

        return set(inspect.signature(CellBackbone).parameters)
    if name == ("evaluate",) and "weights" not in given:
        return set(get_task(given["task"]).options) if given.get("options") else set()
    if name == ("evaluate",):
        of_detector = SUBMISSION_OPTIONS if given.get("format_only") else SCORE_OPTIONS
        return set({"detect": of_detector, "reid": PCB_OPTIONS}.get(given.get("task", ""), PROXY_OPTIONS))
    return set()


@pytest.mark.parametrize("command", [shown for shown in SHOWN if shown.words[0] == "-m"], ids=str)
def test_the_module_accepts_it(command: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    _, module, *words = command.words
    assert importlib.util.find_spec(module), f"{command}: no such module"
    if module == "pytest":
        for word in words:
            assert (ROOT / word).exists() or "/" not in word, f"{command}: no such file"
    elif "argparse" in inspect.getsource(importlib.import_module(module)):
        check_arguments(command, importlib.import_module(module).main, words, monkeypatch)


def check_arguments(command: Shown, main: Any, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    accept = argparse.ArgumentParser.parse_args

    def stop(*arguments: Any, **options: Any) -> None:
        raise Parsed(accept(*arguments, **options))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [command.words[1], *words])
    try:
        main()
    except Parsed:
        return
    except SystemExit:
        pytest.fail(f"{command}: refused")


def test_make_has_the_targets() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in SHOWN:
        assert command.program != "make" or set(command.words) <= targets, str(command)


def test_every_place_is_read() -> None:
    for place in FILES:
        assert any(command.path.is_relative_to(ROOT / place) for command in NASWILD), place


def run_for_real() -> list[Shown]:
    """The cheap commands, each once."""
    found = {}
    for command in NASWILD:
        short = " ".join(resolve(command)[1]) or command.words[0]
        theirs = OWN.search(" ".join(command.words)) or "SUITE" in command.words
        if (short in CHEAP or "--dry-run" in command.words) and not theirs:
            found.setdefault(command.words, command)
    return list(found.values())


@pytest.mark.parametrize("command", run_for_real(), ids=str)
def test_a_cheap_one_runs(command: Shown, tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from benchmarks.cli import main; main()", *command.words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    assert done.stdout
