"""The page: everything the report shows, put into the template; one file that opens from disk, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.published import paper
from benchmarks.render.html import table_fragment
from benchmarks.report import figures
from benchmarks.report.checklist import Item, checklist
from benchmarks.report.paired import paired_table
from benchmarks.report.pictures import pictures
from benchmarks.report.power import power_table
from benchmarks.report.provenance import computed, facts, protocol_texts, results_table
from benchmarks.report.ranks import rank_figures
from benchmarks.report.samples import samples
from benchmarks.report.summary import doubts, sentences, tiles, winners
from benchmarks.store import Result
from benchmarks.tables.build import build
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Table


def render_page(run_dir: Path, results: Sequence[Result], published: bool = False) -> str:
    """The report of these results as HTML; pictures are read from ``run_dir``."""
    measured = Measurements(results, allow_mixed=True)
    tables = build(measured, published)
    context: dict[str, Any] = {
        "suite": ", ".join(sorted({result.suite for result in results})) or "no results",
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "paper": paper(),
        "tiles": list(tiles(measured, results)),
        "sentences": list(sentences(measured)),
        "winners": list(winners(measured)),
        "doubts": list(doubts(measured)) if results else [],
        "tables": [_markup(table) for table in tables],
        "cells": list(figures.cells(measured, results)),
        "trajectories": list(figures.trajectories(measured)),
        "ranks": list(rank_figures(measured)),
        "trade_offs": list(figures.trade_offs(measured)),
        "correlations": list(figures.correlations(measured)),
        "detections": list(pictures(run_dir, measured, "detect")),
        "samples": list(samples(run_dir, results)),
        "rankings": list(pictures(run_dir, measured, "reid")),
        "costs": figures.cost_bars(results),
        "cost_parts": list(figures.KINDS.values()),
        "further": [_markup(t) for t in (power_table(measured), paired_table(run_dir, measured)) if t is not None],
        "checklist": _by_group(checklist(measured, results)) if results else [],
        "protocols": list(protocol_texts(results)),
        "facts": list(facts(results)) if computed(results) else [],
        "results": _markup(results_table(measured, results)),
    }
    return _environment().get_template("report.html.j2").render(context)


def _by_group(items: Iterable[Item]) -> list[tuple[str, list[Item]]]:
    return [(group, list(members)) for group, members in groupby(items, key=lambda item: item.group)]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("benchmarks", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawing"] = Markup  # our own SVG; every text in it is escaped where it is made
    return environment


def _markup(table: Table) -> Markup:
    return Markup(table_fragment(table))
