"""Protocols: versioned YAML files that hold every hyper-parameter of one stage.

A protocol's ``hash`` covers what decides the numbers (stage, version, recipe) and nothing else, so comments, the
source, the expected time and memory can be edited freely. A file with ``extends: other`` takes over the recipe of
another protocol and says only what differs, inside nested mappings too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from benchmarks.yamlfile import Document, find_named, named, read_yaml, validate

FOLDER = Path(__file__).parent / "protocols"


class GpuMemory(BaseModel):
    """Peak memory of one GPU and the source of the figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gb: float = Field(gt=0)  # 10^9 bytes
    source: str


class _File(BaseModel):
    """What a protocol file may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int = Field(ge=1)
    stage: str
    source: str
    extends: str | None = None  # the protocol whose recipe this one's is laid over
    seconds: float | None = Field(None, gt=0)  # expected time of one job on the machine that the suite is meant for
    gpu_memory: GpuMemory | None = None  # where a figure was published or measured
    recipe: dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """One protocol: ``recipe`` is the stage's own model, or the plain mapping where the stage has none."""

    name: str
    version: int
    stage: str
    source: str
    seconds: float | None
    recipe: Any
    path: Path
    gpu_memory: GpuMemory | None = None

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits of what decides the numbers; defaults that the file leaves out are in it."""
        return content_hash({"stage": self.stage, "version": self.version, "recipe": self.recipe_dict})

    @property
    def recipe_dict(self) -> dict[str, Any]:
        """Every hyper-parameter as plain data."""
        return self.recipe.model_dump(mode="json") if isinstance(self.recipe, BaseModel) else self.recipe


def load_protocol(
    name_or_path: str, stage: str | None = None, model: str | None = None, base: dict[str, Any] | None = None
) -> Protocol:
    """Read a packaged protocol by name, or any by path.

    Args:
        name_or_path: ``"retrain-mini"`` or ``"mine/retrain.yaml"``.
        stage: Refuse a protocol of another stage.
        model: Home of the stage's recipe model, ``"nas.search.recipe:SearchRecipe"``; None leaves the plain mapping.
        base: What the recipe is laid over instead of the model's defaults: that of the search method.

    Raises:
        UnknownName: no such protocol; with near matches.
        NaswildError: a key or a value that does not fit, with file and line.
    """
    document = read_yaml(find_named("protocol", name_or_path, FOLDER))
    file = validate(_File, document)
    if stage is not None and file.stage != stage:
        raise document.error(("stage",), f"this protocol is for stage {file.stage!r}, not for {stage!r}")
    recipe: Any = merged(base or {}, _whole_recipe(file, document))
    if model is not None:
        module, _, name = model.partition(":")
        recipe = validate(getattr(import_module(module), name), document, content=recipe, at=("recipe",))
    return Protocol(
        file.name, file.version, file.stage, file.source, file.seconds, recipe, document.path, file.gpu_memory
    )


def _whole_recipe(file: _File, document: Document) -> dict[str, Any]:
    """The file's own recipe over that of the protocol it extends, by name or beside it by path."""
    if file.extends is None:
        return file.recipe
    beside = document.path.parent / file.extends
    base = read_yaml(beside if beside.is_file() else find_named("protocol", file.extends, FOLDER))
    extended = validate(_File, base)
    if extended.extends is not None or extended.stage != file.stage:
        raise document.error(("extends",), f"{file.extends} must be of stage {file.stage!r} and extend nothing itself")
    return merged(extended.recipe, file.recipe)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay ``over`` over ``base``: mappings key by key, however deep; lists, numbers and nulls as a whole."""
    both = {key: merged(base[key], over[key]) for key in over if _mappings(base.get(key), over[key])}
    return {**base, **over, **both}


def _mappings(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def protocol_names(stage: str | None = None) -> list[str]:
    """Names of the packaged protocols, of one stage if given."""
    names = named(FOLDER)
    return names if stage is None else [name for name in names if load_protocol(name).stage == stage]


def content_hash(content: Any) -> str:
    """Twelve hexadecimal digits of plain data, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
