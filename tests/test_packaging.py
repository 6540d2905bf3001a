"""What the packages import and read is what the distribution declares and ships."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

tomllib = pytest.importorskip("tomllib")  # of Python 3.11

ROOT = Path(__file__).parents[1]
PACKAGES = ("nas", "backbones", "detection", "reid", "benchmarks")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Modules that go by another name than their distribution, and those that come with another one.
DISTRIBUTIONS = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml"}
BROUGHT_BY = {"triton": "torch"}
# Declared for others: mmdet imports mmcv, mmengine pkg_resources, torchreid gdown and OpenCV, PyTorch's exporter onnx.
FOR_OTHERS = {"mmcv-lite", "setuptools", "gdown", "opencv-python-headless", "onnx"}
# Extras whose modules a package may name in a plain import; elsewhere `require` says which extra brings them.
EXTRAS = {
    "backbones": {"detection"},
    "detection": {"detection"},
    "reid": {"reid"},
    "benchmarks": {"detection", "reid", "export", "ray"},
}
BUILD = ROOT / "backbones" / "packaging"  # runs where the build system's requirements are installed


def _imports(package: str) -> Iterator[tuple[str, str | None]]:
    """Top-level modules that ``package`` imports, each with the extra that ``require`` was told, if it was."""
    for path in sorted(path for path in (ROOT / package).rglob("*.py") if BUILD not in path.parents):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield str(node.module), None
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                if len(words) == 2:
                    yield words[0], words[1]


def _foreign(package: str) -> set[tuple[str, str | None]]:
    """The same by distribution, without our own packages and the standard library."""
    ours = {*PACKAGES, *sys.stdlib_module_names}
    tops = {(module.partition(".")[0], extra) for module, extra in _imports(package)}
    names = {(BROUGHT_BY.get(top, DISTRIBUTIONS.get(top, top)), extra) for top, extra in tops if top not in ours}
    return {(canonicalize_name(name), extra) for name, extra in names}


def _declared(extra: str | None = None) -> set[str]:
    if extra == "all":
        return set.union(*map(_declared, ("detection", "export", "reid")))
    project = PROJECT["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name) for line in lines}


@pytest.mark.parametrize("package", PACKAGES)
def test_everything_imported_is_declared(package: str) -> None:
    always = _declared()
    plain = always.union(*map(_declared, EXTRAS.get(package, ())))
    for name, extra in _foreign(package):
        assert name in (plain if extra is None else _declared(extra) | always), f"{package} imports {name}"


def test_everything_declared_is_imported() -> None:
    imported = {name for package in PACKAGES for name, _ in _foreign(package)}
    declared = set.union(*map(_declared, (None, "detection", "reid", "export", "ray")))
    assert declared - imported == FOR_OTHERS


def test_every_declared_distribution_has_a_tested_version_within_its_range() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    project = PROJECT["project"]
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name not in ("naswild", "setuptools"):  # the tools that install are not pinned
            assert requirement.specifier.contains(versions[name]), line


def test_every_file_beside_the_code_is_shipped_and_every_pattern_finds_one() -> None:
    done = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    others = {ROOT / name for name in done.stdout.splitlines() if not name.endswith((".py", "ruff.toml"))}
    shipped: set[Path] = set()
    for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            found = set((ROOT / package).glob(pattern))
            assert found, f"{package}: {pattern} matches nothing"
            shipped |= found
    assert others <= shipped


def test_the_tests_are_collected_without_any_extra() -> None:
    missing = set.union(*map(_declared, ("detection", "reid", "export", "ray"))) - _declared("dev") - {"setuptools"}
    modules = {"mmcv", "skimage", "ray", *(name.replace("-", "_") for name in missing)}
    hidden = dict.fromkeys(modules)  # None in sys.modules: importing it fails
    code = f"import sys; sys.modules.update({hidden}); import pytest; sys.exit(pytest.main(['--collect-only', '-qq']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
