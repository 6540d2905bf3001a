"""Suites: small YAML files that say which backbones meet which tasks, by which protocols, with which seeds.

The commented example of every key is ``benchmarks/suites/mini.yaml``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, field_validator, model_validator

from benchmarks.yamlfile import Document, Location, find_named, named, read_yaml, validate
from nas.errors import UnknownName, unknown

FOLDER = Path(__file__).parent / "suites"

Seeds = Annotated[tuple[int, ...], Field(min_length=1)]
SOURCES = ("search", "random", "zoo", "genotype", "weights", "timm", "torchreid")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Search(_Part):
    """A cell to be searched: each seed is a search of its own and gives a backbone of its own."""

    method: str
    on: str  # name of the data it searches on
    protocol: str | None = None  # overrides protocols.search
    seeds: Seeds = (0,)
    # Processes that share one search, each on its own GPU (or CPU core). Batch normalisation looks at
    # one process's part of a batch, so another number of processes is another search.
    processes: int = Field(1, ge=1)
    # Which cell of the search: its own (final); that of stage 1, 2, ...; the last stage's with at most 0, 1, ... skip-
    # connects (skips0, ...) or with as many as it likes (unrefined). Several entries share one search.
    cell: str = Field("final", pattern=r"^(final|unrefined|stage[1-9]|skips[0-8])$")


class BackboneEntry(_Part):
    """One line of ``backbones``: exactly one source, and a name for the tables if the source's own will not do."""

    name: str | None = None
    search: Search | None = None
    random: int | None = Field(None, ge=1, le=10_000)  # how many random cells of the search space
    zoo: str | None = None  # a published cell
    genotype: str | None = None  # a genotype: a file, or its text
    weights: str | None = None  # a weights file: evaluated as it is
    timm: str | None = None  # a timm model
    torchreid: str | None = None  # one of torchreid's networks, from new weights; for re-identification only

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return _entry_of(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> BackboneEntry:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a backbone has exactly one of {', '.join(SOURCES)}; found {', '.join(given) or 'none'}")
        return self

    @property
    def source(self) -> str:
        """Which of :data:`SOURCES` this entry has."""
        return next(name for name in SOURCES if getattr(self, name) is not None)


def _entry_of(text: str) -> dict[str, Any]:
    """What :func:`backbones.source.parse_source` makes of ``text``; unknown words are left for the plan.

    A published cell is told first, without the parser: it asks timm, and a suite of cells is planned without torch.
    """
    from nas import zoo

    if text in zoo.names():
        return {"zoo": text}
    from backbones.source import parse_source

    try:
        source = parse_source(text)
    except UnknownName:
        return {"zoo": text}  # refused where the backbone is looked up, with its line in the suite
    return {source.kind: source.value}


def _axis(value: Any) -> tuple[int | str, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not values or any(isinstance(item, bool) or not isinstance(item, (int, str)) for item in values):
        raise ValueError("an option of a task is a whole number or a word, or a list of them")
    return values


Axis = Annotated[tuple[int | str, ...], PlainValidator(_axis)]


class TaskEntry(BaseModel):
    """One line of ``tasks``. Keys beyond these are options of the task; a list of values multiplies the jobs."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Axis] = Field(init=False)

    task: str
    data: str
    protocol: str | None = None  # overrides protocols.<stage of the task>
    seeds: Seeds | None = None  # overrides the suite's
    backbones: tuple[str, ...] | None = None  # names of those that meet this task; None: all
    form: str | None = None  # tells two entries with the same data and other protocols apart: SSD320, large, ...

    @property
    def axes(self) -> dict[str, tuple[int | str, ...]]:
        """The options, each with its values."""
        return dict(self.__pydantic_extra__ or {})


class DataEntry(BaseModel):
    """One line of ``data``: made by us, a classification proxy, or a copy that the user has at ``root``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    made: str | None = None  # name of a maker: digits-coco, reid
    proxy: str | None = None  # digits, cifar10, ..., or "folder" with a root
    root: str | None = None  # where the user's copy is; ~ and $VARIABLES are expanded
    seed: int = 0  # of a made set

    @model_validator(mode="after")
    def _some_source(self) -> DataEntry:
        if self.made is None and self.proxy is None and self.root is None:
            raise ValueError("data needs one of made, proxy, root")
        if self.made is not None and (self.proxy is not None or self.root is not None):
            raise ValueError("data that is made has neither proxy nor root")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Everything else that the maker, the proxy or the task reads."""
        return dict(self.model_extra or {})

    @property
    def path(self) -> Path | None:
        """The root with ``~`` and variables expanded."""
        return None if self.root is None else Path(os.path.expandvars(self.root)).expanduser()


class Suite(_Part):
    """A whole suite, validated; frozen, so that it can be hashed into a plan."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str = ""
    backbones: tuple[BackboneEntry, ...] = Field(min_length=1)
    tasks: tuple[TaskEntry, ...] = ()
    protocols: dict[str, str] = {}  # stage -> protocol name or path
    pretrain: str | None = None  # data of the classify task whose weights the other tasks start from; None: the first
    seeds: Seeds = (0,)
    # True: all backbones share initialisation, order and augmentation under one training seed. False: each has its own,
    # which is what the intervals assume.
    common_seeds: bool = False
    data: dict[str, DataEntry] = {}
    imports: tuple[str, ...] = ()  # modules that register tasks, makers or methods
    scales: dict[str, dict[str, Any]] = {}  # other sizes of the suite: what each says instead

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed is listed twice")
        return seeds


def load_suite(name_or_path: str, scale: str | None = None) -> tuple[Suite, Document]:
    """A packaged suite by name, or any by path, with the document it came from (for errors that point at a line).

    With ``scale`` it is the one that ``scales`` describes under that name, ``<suite>-<scale>``.

    Raises:
        UnknownName: no such suite or scale; with near matches.
        NaswildError: broken YAML, or a key or value that does not fit, with its line.
    """
    document = read_yaml(find_named("suite", name_or_path, FOLDER))
    suite = validate(Suite, document)
    if scale is None:
        return suite, document
    if scale not in suite.scales:
        raise unknown(f"scale of suite {suite.name}", scale, suite.scales)
    document = _at_scale(document, scale)
    return validate(Suite, document), document


def _at_scale(document: Document, scale: str) -> Document:
    """The document with the parts that ``scales`` gives under ``scale`` in their place, lines included.

    Protocols and data are replaced one by one, every other key as a whole.
    """
    content, lines = dict(document.content), dict(document.lines)
    content["name"] = f"{content['name']}-{scale}"
    for key, value in document.content["scales"][scale].items():
        single = key in ("protocols", "data")
        content[key] = {**content.get(key, {}), **value} if single else value
        for name in value if single else [None]:
            place: Location = (key,) if name is None else (key, name)
            lines = {at: line for at, line in lines.items() if at[: len(place)] != place}
            source: Location = ("scales", scale, *place)
            lines |= {at[2:]: line for at, line in document.lines.items() if at[: len(source)] == source}
    del content["scales"]
    return Document(document.path, content, lines)


def suite_names() -> list[str]:
    """Names of the packaged suites."""
    return named(FOLDER)
