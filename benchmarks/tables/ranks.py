"""The table of ranks over all target data sets: mean rank, Borda count, wins, interquartile mean."""

from __future__ import annotations

import numpy as np

from benchmarks.comparison import Comparison, compare_backbones
from benchmarks.statistics.ranks import borda, interquartile_interval, interquartile_mean, win_rates
from benchmarks.tables.keys import data_set_title
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table


def rank_table(measured: Measurements) -> Table | None:
    """All backbones that were measured on every target data set, best mean rank first; None where too few were."""
    found = compare_backbones(measured)
    if found is None:
        return None
    counts, wins = borda(found.scores), win_rates(found.scores)
    rows = []
    for index in np.argsort(found.test.mean_ranks, kind="stable"):
        name = found.names[index]
        cells = {
            "name": Cell(text=name),
            "rank": Cell(found.test.mean_ranks[index]),
            "borda": Cell(float(counts[index])),
            "wins": Cell(float(np.delete(wins[index], index).mean())),
        }
        if name in found.relative:
            runs = found.relative[name]
            interval = interquartile_interval(runs)
            ends = (interval.low, interval.high) if interval else None
            cells["iqm"] = Cell(interquartile_mean(runs), interval=ends, n=len(runs))
            cells["n"] = Cell(float(len(runs)))
        rows.append(Row(cells))
    return Table(
        name="ranks",
        caption="Ranks over the data sets that no cell was searched on",
        columns=(
            Column("name", "Backbone", numeric=False, identifies=True),
            Column("rank", "Mean rank", decimals=2),
            Column("borda", "Borda count", decimals=1),
            Column("wins", "Win rate", unit="%", scale=100, decimals=0),
            Column("iqm", "Interquartile mean, relative to random", decimals=3),
            Column("n", "Runs", decimals=0),
        ),
        blocks=(Block("Best mean rank first", tuple(rows)),),
        notes=tuple(Note(text) for text in _notes(found)),
    )


def _notes(found: Comparison) -> list[str]:
    """What the ranks rest on and whether they are more than chance."""
    test = found.test
    titles = ", ".join(data_set_title(label.split()[-1]) for label in found.data_sets)
    different = [(a, b) for (a, b), p in test.wilcoxon.items() if p <= 0.05]
    pairs = f"{len(different)} of {len(test.wilcoxon)} pairs"
    said = (
        "no pair differs"
        if test.friedman_p > 0.05
        else f"mean ranks further apart than {test.critical_difference:.2f} differ (Nemenyi)"
    )
    texts = [
        f"Primary metrics on {len(found.data_sets)} data sets ({titles}); variants of one set are averaged.",
        f"Friedman test that all ranks are equal: p = {test.friedman_p:.3f}; at 5 % {said}. Wilcoxon signed-rank, "
        f"Holm-adjusted: {pairs} differ.",
        "The random cells take part as one backbone, their mean, which varies less than a single run does.",
        "Win rate: share of (data set, other backbone) pairs that it wins, a tie counting half. Interquartile mean: of "
        "the middle half of all runs on all sets as ratios to the mean random cell; in brackets its 95 % interval over "
        "the runs, from five runs on.",
    ]
    if found.incomplete:
        texts.append(f"Left out, not measured on every set: {', '.join(found.incomplete)}.")
    return texts
