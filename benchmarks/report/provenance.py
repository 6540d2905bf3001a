"""Where the numbers come from: protocol texts, library versions, machines, data versions, and every result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from benchmarks.protocol import load_protocol, protocol_names
from benchmarks.report.plots import seconds
from benchmarks.store import Result
from benchmarks.tables.keys import Point, Task
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Row, Table


@dataclass(frozen=True)
class ProtocolText:
    """A protocol that was used: its file, or, where that has changed since, the hyper-parameters that results keep."""

    title: str
    results: int
    text: str


def protocol_texts(results: Sequence[Result]) -> Iterator[ProtocolText]:
    """One entry for each protocol, version and hash."""
    used: dict[tuple[str, int, str], list[Result]] = {}
    for result in results:
        if result.protocol:
            used.setdefault((result.protocol, result.protocol_version, result.protocol_hash), []).append(result)
    for (name, version, digest), found in sorted(used.items()):
        recipe = found[0].details.get("recipe")
        yield ProtocolText(f"{name} v{version} [{digest}]", len(found), _text(name, version, recipe))


def _text(name: str, version: int, recipe: Mapping[str, Any] | None) -> str:
    """The packaged file if it still says what was run, for its comments; else the recipe that the result keeps."""
    if name in protocol_names():
        protocol = load_protocol(name)
        kept = recipe or {}
        same = all(key in kept and kept[key] == value for key, value in protocol.recipe_dict.items())
        text = protocol.path.read_text(encoding="utf-8")
        if protocol.version == version and same and "\nextends:" not in text:
            return text
    if recipe is None:
        return "The results do not hold the hyper-parameters."
    return yaml.safe_dump({"name": name, "version": version, "recipe": dict(recipe)}, sort_keys=False)


def facts(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """(what, which) pairs: everything that must be the same for two tables to be the same."""
    results = computed(results)
    where = [result.provenance for result in results]
    yield "commit", ", ".join(sorted({p.git for p in where if p.git})) or "unknown"
    yield "machine", "; ".join(sorted({p.machine for p in where}))
    yield "device", "; ".join(sorted({result.cost.device for result in results}))
    libraries = sorted({item for p in where for item in p.versions.items()})
    yield "libraries", ", ".join(f"{name} {version}" for name, version in libraries)
    data = sorted({(p.data, p.split, p.data_version) for p in where if p.data})
    yield "data", "; ".join(f"{name} ({split}) {version}" for name, split, version in data)
    yield "made", f"{min(p.created for p in where)} to {max(p.created for p in where)}"


def computed(results: Sequence[Result]) -> list[Result]:
    """All results but the drawing of random cells, which measures nothing, on no data."""
    return [r for r in results if r.kind != "search" or r.backbone.kind != "random"]


def results_table(measured: Measurements, results: Sequence[Result]) -> Table:
    """Every result with its primary metric and its cost."""
    return Table(
        name="results",
        caption="Every result",
        columns=(
            Column("task", "Task", numeric=False, identifies=True),
            Column("name", "Backbone", numeric=False, identifies=True),
            Column("seed", "Seed", decimals=0),
            Column("metric", "Metric", numeric=False),
            Column("value", "Value", unit="%", scale=100, decimals=2),
            Column("time", "Time", decimals=0),
            Column("attempts", "Attempts", decimals=0),
            Column("key", "Key", numeric=False),
        ),
        blocks=(Block("Results", tuple(_row(measured, result) for result in results)),),
    )


def _row(measured: Measurements, result: Result) -> Row:
    metric = measured.primary(Task.of(result)) if result.kind != "search" else ""
    value = result.metrics[metric].value if metric in result.metrics else None
    return Row(
        {
            "task": Cell(text=f"{result.kind}: {Task.of(result).title}"),
            "name": Cell(text=measured.label(Point.of(result))),
            "seed": Cell(float(result.seed)),
            "metric": Cell(text=metric if value is not None else None),
            "value": Cell(value),
            "time": Cell(result.cost.seconds, seconds(result.cost.seconds)),
            "attempts": Cell(float(result.cost.attempts)),
            "key": Cell(text=result.key),
        }
    )
