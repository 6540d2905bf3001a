"""The order of the packages and the absence of circles between files, read from the source of every import.

Counted are imports at the top of a file, inside functions and under `TYPE_CHECKING`, and strings that name a module of
ours ("backbones.weights" or "backbones.weights:load"), since something will import what they name. `from a import b`
imports `a/b.py` where that is a file, else `a/__init__.py`. An import from another package also runs its `__init__.py`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "nas": {"nas"},
    "backbones": {"nas", "backbones"},
    "detection": {"nas", "backbones", "detection"},
    "reid": {"nas", "backbones", "reid"},
    "benchmarks": {"nas", "backbones", "detection", "reid", "benchmarks"},
}
NAMES_A_MODULE = re.compile(rf"({'|'.join(MAY_IMPORT)})(\.\w+)+(:\w+(\.\w+)*)?")


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Name every module of the packages: {"nas.search.loop": path, "nas.search": path of its __init__.py}."""
    paths = [path for package in MAY_IMPORT for path in sorted((root / package).rglob("*.py"))]
    parts = {path: path.relative_to(root).with_suffix("").parts for path in paths}
    return {".".join(p[:-1] if p[-1] == "__init__" else p): path for path, p in parts.items()}


def targets(node: ast.AST, package: list[str]) -> Iterator[str]:
    """Yield the dotted names that one node of a file of `package` imports or names in a string."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        origin = ".".join([*start, *([node.module] if node.module else [])])
        yield from (f"{origin}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAMES_A_MODULE.fullmatch(node.value):
        yield node.value.partition(":")[0]


def imported(path: Path, known: dict[str, Path], package: list[str]) -> set[str]:
    """List the modules in `known` that a file imports: of each dotted name, its longest beginning that is a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        for name in targets(node, package):
            while name and name not in known:
                name = name.rpartition(".")[0]
            found |= {name, *ran_with(name, package)}
    return found & known.keys()


def ran_with(name: str, package: list[str]) -> Iterator[str]:
    """Yield the packages whose `__init__.py` runs before module `name`, without those that the importing file is in."""
    parts = name.split(".")
    yield from (".".join(parts[:n]) for n in range(1, len(parts)) if parts[:n] != package[:n])


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Map every module to the modules that it imports."""
    known = modules(root)
    return {name: imported(path, known, package_of(name, path)) - {name} for name, path in known.items()}


def package_of(name: str, path: Path) -> list[str]:
    """Name the package of a module, as its relative imports see it."""
    parts = name.split(".")
    return parts if path.stem == "__init__" else parts[:-1]


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """List the strongly connected components of more than one module (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            start = stack.index(node)
            component = stack[start:]
            del stack[start:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def package_under_test(path: Path) -> str:
    """Name the package that a test file is about: its folder under tests/."""
    return path.relative_to(ROOT / "tests").parts[0]


def test_imports_follow_the_order_of_the_packages():
    against = [
        f"{name} -> {other}"
        for name, others in graph().items()
        for other in sorted(others)
        if other.split(".")[0] not in MAY_IMPORT[name.split(".")[0]]
    ]
    assert not against


def test_no_circle_between_files():
    assert circles(graph()) == []


def test_tests_import_nothing_above_the_package_they_test():
    known = modules()
    files = [path for package in MAY_IMPORT for path in sorted((ROOT / "tests" / package).rglob("*.py"))]
    against = [
        f"{path.relative_to(ROOT)} -> {other}"
        for path in files
        for other in sorted(imported(path, known, []))
        if other.split(".")[0] not in MAY_IMPORT[package_under_test(path)]
    ]
    assert not against
