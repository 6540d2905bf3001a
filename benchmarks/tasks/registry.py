"""The registry of tasks: the built-in ones by name, and those that ``--import`` or an entry point adds."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from benchmarks.own_packages import NAMES, append_to_path, require_own_packages
from benchmarks.tasks.task import Task
from nas.errors import NaswildError, unknown

ENTRY_POINTS = "naswild"  # group; each entry point names a module whose import registers what it brings

_BUILT_IN = {
    "search": "benchmarks.tasks.search:Search",
    "classify": "benchmarks.tasks.classify:Classify",
    "detect": "benchmarks.tasks.detect:Detect",
    "reid": "benchmarks.tasks.reid:Reid",
}
_REGISTERED: dict[str, type[Task]] = {}

TaskClass = TypeVar("TaskClass", bound=type[Task])


def register_task(task: TaskClass) -> TaskClass:
    """Class decorator: make a task known under its ``name``.

    >>> @register_task
    ... class Segment(Task):
    ...     name, stage, metrics = "segment", "segment", {"mIoU": True}
    ...     def run(self, assignment): ...
    """
    known = _REGISTERED.get(task.name)
    if task.name in _BUILT_IN or (known is not None and known.__qualname__ != task.__qualname__):
        raise NaswildError(f"a task named {task.name!r} exists already; give {task.__qualname__} another name")
    _REGISTERED[task.name] = task
    return task


def get_task(name: str) -> Task:
    """An instance of the task called ``name``; raises ``UnknownName`` with near matches."""
    if name in _REGISTERED:
        return _REGISTERED[name]()
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        return getattr(import_module(module), attribute)()
    raise unknown("task", name, task_names())


def task_names() -> list[str]:
    """All tasks that a suite may list (a search is not one of them: it is a backbone)."""
    return sorted({*_BUILT_IN, *_REGISTERED} - {"search"})


def import_extensions(modules: Iterable[str]) -> None:
    """Import the installed extensions (entry points of group ``naswild``) and ``modules``; they register things.

    Modules in the working directory are found, last of all.

    Raises:
        NaswildError: there is no such module.
        ForeignPackage: another package would be imported instead of one of ours.
    """
    append_to_path(Path.cwd())
    require_own_packages()
    for entry_point in entry_points(group=ENTRY_POINTS):
        entry_point.load()
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise _explain(module, error) from error


def _explain(module: str, error: ModuleNotFoundError) -> Exception:
    """Why ``module`` of a user cannot be imported; an error inside of it as it is."""
    missing = error.name or ""
    if missing in (module, module.partition(".")[0]):
        return NaswildError(f"cannot import {module!r}: no such module in {Path.cwd()} or the environment")
    package = missing.partition(".")[0]
    if package in NAMES:
        return NaswildError(f"{module} imports {missing}, but {package} is naswild's package: give yours another name")
    return error
