"""Numbers for a spreadsheet or pandas: tables as they are printed, and all results in long form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.render.numbers import number, percent
from benchmarks.store import Result
from benchmarks.tables.table import Cell, Column, Table

RESULT_FIELDS = (
    "suite", "kind", "task", "variant", "backbone", "backbone_kind", "method", "search_seed", "seed",
    "metric", "value", "chance", "unit", "higher_is_better",
    "protocol", "protocol_version", "protocol_hash", "data", "data_version", "split",
    "parameters", "macs", "input_size", "seconds", "attempts", "device", "created", "key",
)  # fmt: skip


def table_to_csv(table: Table) -> str:
    """The rows of one table in the printed units; ``_sd``, ``_n``, ``_gain_percent``, ... are extra fields."""
    return _write(_table_fields(table), _rows(table))


def tables_to_csv(tables: Sequence[Table]) -> str:
    """All tables under one head, which a spreadsheet and pandas read unchanged; ``table`` names a row's table.

    The head has every field of every table; those that a row's table lacks are empty.
    """
    fields = dict.fromkeys(["table", *(name for table in tables for name in _table_fields(table))])
    return _write(fields, ({"table": table.name, **row} for table in tables for row in _rows(table)))


def results_to_csv(results: Iterable[Result]) -> str:
    """One line a measured number: everything that identifies it, fractions as fractions."""
    return _write(RESULT_FIELDS, (line for result in results for line in _lines(result)))


def _table_fields(table: Table) -> list[str]:
    return ["block", "source", *(name for column in table.columns for name in _fields(column, table))]


def _rows(table: Table) -> Iterator[dict[str, str]]:
    for block in table.blocks:
        for row in block.rows:
            line = {"block": block.title, "source": block.source}
            for column in table.columns:
                line.update(_cell(row.cell(column), column))
            yield {key: value for key, value in line.items() if value}


def _fields(column: Column, table: Table) -> Iterator[str]:
    """A column's own field, then one for each extra piece that any of its cells has."""
    used = {key for row in table.rows() for key, value in _cell(row.cell(column), column).items() if value}
    yield column.key
    yield from (f"{column.key}{suffix}" for suffix in _SUFFIXES if f"{column.key}{suffix}" in used)


_SUFFIXES = ("_sd", "_n", "_gain_percent", "_low", "_high", "_marks")


def _cell(cell: Cell, column: Column) -> dict[str, str]:
    key = column.key
    text = (
        cell.text if cell.text is not None else "" if cell.value is None else number(cell.value, column, signed=False)
    )
    low, high = (number(end, column, signed=False) for end in cell.interval) if cell.interval else ("", "")
    return {
        key: text,
        f"{key}_sd": "" if cell.deviation is None else number(cell.deviation, column, signed=False),
        f"{key}_n": str(cell.n) if cell.deviation is not None else "",
        f"{key}_gain_percent": "" if cell.gain is None else percent(cell.gain).strip("+%"),
        f"{key}_low": low,
        f"{key}_high": high,
        f"{key}_marks": " ".join(mark for mark in cell.marks if mark),
    }


def _lines(result: Result) -> Iterator[dict[str, object]]:
    network, where, cost = result.backbone, result.provenance, result.cost
    shared = {
        "suite": result.suite, "kind": result.kind, "task": result.task,
        "variant": ";".join(f"{key}={value}" for key, value in sorted(result.variant.items())),
        "backbone": network.name, "backbone_kind": network.kind, "method": network.method,
        "search_seed": network.search_seed, "seed": result.seed,
        "protocol": result.protocol, "protocol_version": result.protocol_version, "protocol_hash": result.protocol_hash,
        "data": where.data, "data_version": where.data_version, "split": where.split,
        "parameters": network.parameters, "macs": network.macs,
        "input_size": "x".join(map(str, network.input_size or ())),
        "seconds": cost.seconds, "attempts": cost.attempts, "device": cost.device, "created": where.created,
        "key": result.key,
    }  # fmt: skip
    for name, metric in result.metrics.items():
        yield {
            **shared, "metric": name, "value": repr(metric.value), "chance": metric.chance, "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
        }  # fmt: skip


def _write(fields: Iterable[str], lines: Iterable[dict[str, object]] | Iterator[dict[str, str]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(fields), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()
