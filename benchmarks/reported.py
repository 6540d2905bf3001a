"""Results that another group reports, as CSV or JSON: read, checked, and kept apart by the protocol they state.

The form is that of a run's own ``results.csv``: one line a number. Only ``kind``, ``task``, ``backbone``, ``metric``
and ``value`` are needed; what is left out is unknown, and a number with another protocol, data version or split than
ours gets its own setting, whose cells a table marks.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmarks.protocol import content_hash
from benchmarks.store import Backbone, BackboneKind, Cost, Metric, Provenance, Result
from nas.errors import NaswildError

REPORTED = "reported"  # details[REPORTED] is the name of the file a result was read from


class Line(BaseModel):
    """One reported number; empty fields of a CSV file count as left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str
    task: str
    backbone: str
    metric: str
    value: float = Field(allow_inf_nan=False)
    suite: str = REPORTED
    variant: dict[str, int | str] = {}
    backbone_kind: BackboneKind = "file"
    method: str | None = None
    genotype: dict[str, Any] | None = None  # JSON only
    search_seed: int | None = None
    seed: int = 0
    chance: float | None = None
    unit: str = "fraction"
    higher_is_better: bool = True
    protocol: str = REPORTED
    protocol_version: int = 1
    protocol_hash: str = ""
    data: str = ""
    data_version: str = "unknown"
    split: str = "unknown"
    parameters: int | None = None
    macs: int | None = None
    input_size: list[int] | None = None
    seconds: float = 0.0
    attempts: int = 1
    device: str = "unknown"
    created: str = "unknown"
    key: str = ""

    @field_validator("variant", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        """``"parts=3;size=320"`` as a mapping, whole numbers as numbers."""
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(";") if part]
        return {name: int(text) if text.lstrip("-").isdigit() else text for name, _, text in pairs}

    @field_validator("input_size", mode="before")
    @classmethod
    def _sides(cls, value: Any) -> Any:
        return [int(side) for side in value.split("x")] if isinstance(value, str) else value

    @property
    def identity(self) -> dict[str, Any]:
        """Everything but the number itself: the lines of one result share it."""
        return self.model_dump(exclude={"metric", "value", "chance", "unit", "higher_is_better"})


def read_reported(path: Path) -> list[Result]:
    """The results in a CSV or JSON file (a list of such lines, of results in our own schema, or a single one).

    Raises:
        NaswildError: a file that cannot be read, or a line that does not fit, with its number and field.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        raise NaswildError(f"{path}: give a .csv or .json file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NaswildError(f"{path}: cannot be read ({error.strerror})") from error
    rows = _csv_rows(text) if path.suffix.lower() == ".csv" else _json_rows(path, text)
    if not rows:
        raise NaswildError(f"{path} holds no results")
    whole = [_check(Result, row, path, number) for number, row in rows if "metrics" in row]
    lines = [_check(Line, row, path, number) for number, row in rows if "metrics" not in row]
    return [*(_marked(result, path) for result in whole), *_results(lines, path)]


def is_reported(result: Result) -> bool:
    """Whether a result was read from another group's file rather than computed here."""
    return REPORTED in result.details


def _csv_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    """(line number, fields that are not empty) of every line."""
    reader = csv.DictReader(io.StringIO(text))
    return [(reader.line_num, {key: value for key, value in row.items() if value and key}) for row in reader]


def _json_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise NaswildError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    entries = content if isinstance(content, list) else [content]
    if not all(isinstance(entry, dict) for entry in entries):
        raise NaswildError(f"{path}: expected a list of objects, one per number or per result")
    return list(enumerate(entries, 1))


def _check(model: type[Any], row: Mapping[str, Any], path: Path, number: int) -> Any:
    try:
        return model.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "line"
        raise NaswildError(f"{path}:{number}: {where}: {first['msg']} (given: {first['input']!r})") from error


def _results(lines: Iterable[Line], path: Path) -> list[Result]:
    """Lines that share everything but the metric become one result."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(content_hash(line.identity), []).append(line)
    return [_result(key, group, path) for key, group in groups.items()]


def _result(key: str, lines: list[Line], path: Path) -> Result:
    first = lines[0]
    if len({line.metric for line in lines}) < len(lines):
        raise NaswildError(
            f"{path}: {first.backbone} on {first.task} has a metric twice; tell the runs apart by their seeds"
        )
    key = first.key or key
    words = [first.kind, first.task, *(f"{k}{v}" for k, v in sorted(first.variant.items())), first.backbone]
    name = re.sub(r"[^A-Za-z0-9@._]+", "-", "-".join([*words, f"s{first.seed}", key]))
    return Result(
        key=key,
        suite=first.suite,
        job=name,
        kind=first.kind,
        task=first.task,
        variant=first.variant,
        backbone=Backbone(
            name=first.backbone,
            kind=first.backbone_kind,
            method=first.method,
            genotype=first.genotype,
            parameters=first.parameters,
            macs=first.macs,
            input_size=first.input_size,
            search_seed=first.search_seed,
        ),
        protocol=first.protocol,
        protocol_hash=first.protocol_hash,
        protocol_version=first.protocol_version,
        seed=first.seed,
        metrics={line.metric: _metric(line) for line in lines},
        cost=Cost(seconds=first.seconds, attempts=first.attempts, device=first.device),
        details={REPORTED: path.name},
        provenance=Provenance(
            versions={},
            machine=f"as {path.name} reports",
            data=first.data or first.task,
            data_version=first.data_version,
            split=first.split,
            created=first.created,
        ),
    )


def _metric(line: Line) -> Metric:
    return Metric(value=line.value, chance=line.chance, higher_is_better=line.higher_is_better, unit=line.unit)


def _marked(result: Result, path: Path) -> Result:
    """A result in this package's schema; its files stay where it was computed."""
    return result.model_copy(update={"details": {**result.details, REPORTED: path.name}, "artifacts": {}})
