"""mmcv's operations are found from the start of Python in every environment that this distribution is installed in."""

from __future__ import annotations

import base64
import csv
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
import setuptools

ROOT = Path(__file__).parents[2]
PACKAGES = ("nas", "backbones", "detection", "reid", "benchmarks")

pytestmark = pytest.mark.skipif(
    int(setuptools.__version__.split(".")[0]) < 77, reason="the setuptools of this environment cannot build the project"
)


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error processing line" not in done.stderr, done.stderr
    return done.stdout.strip()


class Environment:
    """A new virtual environment that sees the packages of this one, but runs none of their ``.pth`` files."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.python = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/python*/site-packages")
        shared = [path for path in sys.path if path.endswith("site-packages")]
        (self.site / "shared.pth").write_text("\n".join(shared))

    def pip(self, *arguments: str | Path) -> str:
        return run(sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check", *arguments)

    def ask(self, code: str, **options: object) -> str:
        return run(self.python, "-c", code, **options)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of the checkout a build reads."""
    copy = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, *["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"], "-w", folder, sources)
    return next(folder.glob("*.whl"))


def test_the_record_of_the_wheel_is_whole(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        entries = {path: (digest, size) for path, digest, size in csv.reader(archive.read(record).decode().split())}
        assert sorted(entries) == sorted(archive.namelist())
        assert "naswild_mmcv.pth" in entries
        for path in set(entries) - {record}:
            content = archive.read(path)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert entries[path] == (f"sha256={digest}", str(len(content)))


QUESTION = "try:\n    import mmcv._ext as m; print(m.__spec__.origin)\nexcept ImportError as error:\n    print(error)"
MODULES = "import sys; print(*sys.modules)"


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_installed_it_is_there_from_the_start_and_uninstalled_it_is_gone(
    kind: str, sources: Path, wheel: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mmcv")
    environment = Environment(tmp_path / "env")
    before = environment.ask(MODULES)
    what = (wheel,) if kind == "wheel" else ("--no-build-isolation", "--editable", sources)
    environment.pip("install", "-q", "--no-deps", *what)
    imported = set(environment.ask(MODULES).split()) - set(before.split())
    if kind == "wheel":  # setuptools' own file for editable installations imports a little
        assert imported == set()
    assert not {name.split(".")[0] for name in imported} & {*PACKAGES, "torch", "mmcv"}
    assert environment.ask(QUESTION, cwd=tmp_path) == "backbones.mmcv_ops"
    if kind == "wheel":
        assert "No broken requirements" in environment.pip("check")
    environment.pip("uninstall", "-q", "-y", "naswild")
    assert not list(environment.site.glob("*naswild*"))
    assert environment.ask(MODULES) == before


def test_it_yields_to_a_compiled_one_and_leaves_python_alone_without_the_package(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("mmcv")
    environment = Environment(tmp_path / "env")
    environment.pip("install", "-q", "--no-deps", wheel)
    for module in ("compiled/mmcv/__init__.py", "compiled/mmcv/_ext.py", "own/backbones/__init__.py"):
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).touch()
    assert environment.ask(QUESTION, cwd=tmp_path / "compiled") == str(tmp_path / "compiled/mmcv/_ext.py")
    assert "but another one is imported from" in environment.ask(QUESTION, cwd=tmp_path / "own")
    shutil.rmtree(environment.site / "backbones")
    assert environment.ask(QUESTION, cwd=tmp_path) == "No module named 'mmcv._ext'"
