"""The descriptive cells of a row: name, size, multiply-adds, search cost; and the columns that print them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.store import Result
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Cell, Column

SECONDS_A_DAY = 86_400
GPU_DAYS_FROM = 0.05 * SECONDS_A_DAY  # searches below this are printed in seconds: 0.0 GPU-days says nothing


def name_cells(results: Sequence[Result]) -> dict[str, Cell]:
    """Name and method of the backbone that these results are about."""
    backbone = results[0].backbone
    return {"name": Cell(text=backbone.name), "method": Cell(text=backbone.method or backbone.kind)}


def size_cells(results: Sequence[Result]) -> dict[str, Cell]:
    """Parameters and multiply-adds of the backbone at the task's own input size, and these as the paper counts them."""
    backbones = [result.backbone for result in results]
    return {
        "params": Cell(_mean(b.parameters for b in backbones)),
        "madds": Cell(_mean(b.macs for b in backbones)),
        "paper_madds": Cell(_mean(result.details.get("paper_macs") for result in results)),
    }


def search_cost_cells(measured: Measurements, results: Sequence[Result]) -> dict[str, Cell]:
    """Seconds of one search by this backbone's method, all attempts together; empty if it was not searched here."""
    name = results[0].backbone.name
    costs = [search.cost.seconds for search in measured.searches if search.backbone.name == name]
    return {"cost": Cell(_mean(costs), n=len(costs))} if costs else {}


def input_text(results: Iterable[Result]) -> str | None:
    """The input size: ``"320"`` for a square, ``"384x128"`` (height x width) otherwise."""
    sizes = {tuple(r.backbone.input_size[-2:]) for r in results if r.backbone.input_size}
    texts = [str(h) if h == w else f"{h}x{w}" for h, w in sorted(sizes)]
    return ", ".join(texts) or None


def size_columns(cells: Iterable[Mapping[str, Cell]], madds_title: str = "Multiply-adds") -> list[Column]:
    """Columns for parameters and multiply-adds; their unit suits the largest value, their decimals the smallest."""
    rows = list(cells)
    params = [row["params"].value or 0.0 for row in rows if "params" in row]
    madds = [row["madds"].value or 0.0 for row in rows if "madds" in row]
    unit, scale = ("B", 1e-9) if max(madds, default=0.0) >= 1e9 else ("M", 1e-6)
    return [
        Column("params", "Params", unit="M", scale=1e-6, decimals=_decimals(params, 1e-6)),
        Column("madds", madds_title, unit=unit, scale=scale, decimals=_decimals(madds, scale)),
    ]


def cost_column(searches: Iterable[Result]) -> Column:
    """Search cost in GPU-days as the paper prints it, or in seconds for small searches and for CPUs."""
    found = list(searches)
    longest = max((search.cost.seconds for search in found), default=0)
    if longest >= GPU_DAYS_FROM and not any(search.cost.device.startswith("cpu") for search in found):
        return Column("cost", "Search cost", unit="GPU-days", scale=1 / SECONDS_A_DAY, decimals=1)
    return Column("cost", "Search cost", unit="s", decimals=0)


def _decimals(values: Sequence[float], scale: float) -> int:
    """Decimals that leave about two digits of the smallest value, 3 at most; from 100 on none are needed."""
    smallest = min((value * scale for value in values if value > 0), default=1.0)
    return 0 if smallest >= 100 else 1 if smallest >= 1 else 2 if smallest >= 0.1 else 3


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
