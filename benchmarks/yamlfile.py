"""YAML files whose errors point at the file, the line and the key."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from nas.errors import NaswildError, unknown

Location = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2: ``on`` and ``no`` are words, ``1e-3`` is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|nan))$"),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Document:
    """The content of a YAML file and the line (from 1) of every key and list item in it."""

    path: Path
    content: Any
    lines: dict[Location, int]

    def line(self, location: Iterable[int | str]) -> int:
        """Line of the deepest part of ``location`` that is written in the file (defaults and union tags are not)."""
        written: Location = ()
        for part in location:
            if (*written, part) in self.lines:
                written = (*written, part)
        return self.lines.get(written, 1)

    def error(self, location: Location, message: str) -> NaswildError:
        """An error at a place of this file: ``suites/mini.yaml:12: tasks.0.parts: ...``."""
        place = f"{self.path}:{self.line(location)}" if self.lines else str(self.path)
        where = ".".join(map(str, location))
        return NaswildError(f"{place}: {where + ': ' if where else ''}{message}")


def read_yaml(path: Path) -> Document:
    """Read one YAML document; raises :class:`NaswildError` for a missing file, broken syntax or a doubled key."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        lines = dict(_lines(path, node, ())) if node else {}
        return Document(path, loader.construct_document(node) if node else None, lines)
    except OSError as error:
        raise NaswildError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise NaswildError(f"{path}:{line}: not valid YAML: {error.problem}") from error


def _lines(path: Path, node: yaml.Node, location: Location) -> Iterator[tuple[Location, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise NaswildError(f"{path}:{key.start_mark.line + 1}: key {key.value!r} is given twice")
            seen.add(key.value)
            yield (*location, key.value), key.start_mark.line + 1
            yield from _lines(path, value, (*location, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*location, index), value.start_mark.line + 1
            yield from _lines(path, value, (*location, index))


def validate(model: type[Model], document: Document, content: Any = None, at: Location = ()) -> Model:
    """Make a ``model`` of the document, or of ``content`` found ``at`` a place in it; every error has its line."""
    try:
        return model.model_validate(document.content if content is None else content)
    except ValidationError as error:
        names = set(_field_names(model))
        lines = []
        for problem in error.errors():
            location = (*at, *problem["loc"])
            lines.append(str(document.error(location, _explain(problem, names))))
        raise NaswildError("\n".join(dict.fromkeys(lines))) from error


def _explain(problem: Any, names: set[str]) -> str:
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])  # may be a right name elsewhere in the file
        near = get_close_matches(key, sorted(names - {key}), n=3, cutoff=0.5)
        return "unknown key" + (f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "")
    if problem["type"] == "missing":
        return "this key is missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    return f"{message} (given: {given!r})" if isinstance(given, (str, int, float)) else message


def _field_names(annotation: Any) -> Iterator[str]:
    """Names of the fields of a model and of every model inside its fields, for near matches."""
    if (
        isinstance(annotation, type)
        and not isinstance(annotation, types.GenericAlias)
        and issubclass(annotation, BaseModel)
    ):
        for name, field in annotation.model_fields.items():
            yield name
            yield from _field_names(field.annotation)
    for part in typing.get_args(annotation):
        yield from _field_names(part)


def find_named(kind: str, name: str, folder: Path) -> Path:
    """The file of a packaged ``kind`` ("suite", "protocol") by its name, or the user's by its path.

    Raises:
        UnknownName: neither; with the nearest packaged names.
        NaswildError: it looks like a path and there is no such file.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        if not Path(name).is_file():
            raise NaswildError(f"{kind} file {name} does not exist")
        return Path(name)
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise unknown(kind, name, named(folder))
    return path


def named(folder: Path) -> list[str]:
    """Names of the packaged files in ``folder``."""
    return sorted(path.stem for path in folder.glob("*.yaml"))
