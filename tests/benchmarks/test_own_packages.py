"""A user's folder with the name of one of our packages: ours is imported, or one sentence says that it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.own_packages import NAMES, ROOT

Done = subprocess.CompletedProcess[str]
COMMAND = "from benchmarks.cli import main\nif __name__ == '__main__':\n    main()\n"  # as it is installed
TASK = """\
from importlib.util import find_spec
from pathlib import Path

import benchmarks
import mine_too
from benchmarks.tasks import Outcome, Task, register_task

@register_task
class Look(Task):
    name, stage, metrics = "look", "look", {"packages": True}

    def run(self, assignment):
        root = Path(benchmarks.__file__).parents[1]
        names = ("nas", "backbones", "detection", "reid")
        ours = sum(find_spec(name).origin == str(root / name / "__init__.py") for name in names)
        return Outcome(metrics={"packages": self.metric("packages", ours)}, seconds=1.0, split="val")
"""
SUITE = """\
name: look
imports: [mine]
backbones: [{timm: resnet10t}]
tasks: [{task: look, data: digits}]
protocols: {look: look.yaml}
"""
PROTOCOL = "name: look\nversion: 1\nstage: look\nsource: made up\nrecipe: {}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with packages and mere folders of our names, a module of the user's own and a suite."""
    for name in ("detection", "nas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('the {name} of somebody else')\n")
    for name in ("reid", "benchmarks", "backbones"):  # a namespace package: enough for an import
        (tmp_path / name).mkdir()
    for name, text in {"mine.py": TASK, "mine_too.py": "", "look.yaml": PROTOCOL, "suite.yaml": SUITE}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def python(folder: Path) -> Callable[..., Done]:
    """Python in that folder."""

    def call(*arguments: str, **environment: str) -> Done:
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
        return subprocess.run([sys.executable, *arguments], cwd=folder, env=variables, capture_output=True, text=True)

    return call


@pytest.fixture
def naswild(python: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """The command there; its own folder is first on the path, the working directory is not on it."""
    command = tmp_path_factory.mktemp("bin") / "naswild"
    command.write_text(COMMAND)
    return partial(python, str(command))


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_suite_runs_in_a_folder_with_our_names(naswild: Callable[..., Done], engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    done = naswild("run", "suite.yaml", "--engine", engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "packages 4" in done.stdout


def test_a_package_that_would_be_imported_instead_is_named(naswild: Callable[..., Done], folder: Path) -> None:
    (folder / "benchmarks").rmdir()  # or Python would not even find our command
    done = naswild("suite", "list", PYTHONPATH=".")
    assert done.returncode == 2
    said = f"error: `import nas` finds {folder.resolve() / 'nas'}, not naswild's package {ROOT / 'nas'}: rename"
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_so_is_it_for_a_module_run_by_name(python: Callable[..., Done], folder: Path) -> None:
    for name in {*NAMES} - {"detection"}:
        for path in (folder / name).glob("*.py"):
            path.unlink()
        (folder / name).rmdir()
    done = python("-m", "benchmarks.speed.store", "--help")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("benchmarks.own_packages.ForeignPackage: `import detection` finds")


def test_a_module_that_wants_its_own_package_of_that_name_is_told(naswild: Callable[..., Done], folder: Path) -> None:
    (folder / "mine_too.py").write_text("import detection.mine\n")
    done = naswild("run", "suite.yaml")
    assert done.returncode == 2
    words = "mine imports detection.mine, but detection is naswild's package: give yours another name"
    assert done.stderr == f"error: {words}\n"
