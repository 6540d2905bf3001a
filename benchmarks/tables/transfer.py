"""The two tables that answer the question of the benchmark: wild scores, and proxy-to-target rank correlation."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.statistics import MINIMUM_PAIRS, Improvement, Interval
from benchmarks.tables.keys import data_set_title
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table
from benchmarks.transfer import WildScore, proxies, proxy_correlations, targets, wild_scores


def wild_table(measured: Measurements) -> Table | None:
    """Relative improvement over random cells on every target data set, and the mean of it; None without any."""
    scores = wild_scores(measured)
    if not scores:
        return None
    labels = list(targets(measured))
    columns = [_percent(label, data_set_title(label.split()[-1])) for label in labels]
    return Table(
        name="wild",
        caption="Wild score: relative improvement over the mean random cell on data that no cell was searched on",
        columns=(
            Column("name", "Backbone", numeric=False, identifies=True),
            *columns,
            _percent("score", "Wild score"),
            Column("p", "p, adjusted", decimals=3),
        ),
        blocks=(Block("Cells, best first", tuple(_wild_row(score) for score in scores)),),
        notes=(
            Note(
                f"Primary metrics: AP of detection, mAP of re-identification, top-1 accuracy. {_proxy_text(measured)}"
            ),
            Note(
                "Wild score: exp of the mean log ratio to the mean random cell over the data sets, minus 1; variants "
                "of one data set (parts, input size) count once."
            ),
            *_covers(scores),
        ),
    )


def correlation_table(measured: Measurements) -> Table | None:
    """Kendall's tau and Spearman's rho between the proxy and every target; None where nothing can be compared."""
    found = proxy_correlations(measured)
    if not found:
        return None
    rows = []
    for entry in found:
        cells = {
            "proxy": Cell(text=f"{entry.proxy.name} top-1"),
            "target": Cell(text=entry.target.title),
            "metric": Cell(text=entry.metric),
            "n": Cell(float(len(entry.points))),
        }
        if (rank := entry.correlation) is not None:
            cells["kendall"] = Cell(rank.kendall, interval=_ends(rank.kendall_interval))
            cells["kendall_p"] = Cell(rank.kendall_p)
            cells["spearman"] = Cell(rank.spearman, interval=_ends(rank.spearman_interval))
        if entry.independent is not None:
            cells["independent"] = Cell(entry.independent)
        rows.append(Row(cells))
    return Table(
        name="correlation",
        caption="Does the order on the proxy hold on the target? Rank correlation over the cells of the search space",
        columns=(
            Column("proxy", "Proxy", numeric=False, identifies=True),
            Column("target", "Target", numeric=False, identifies=True),
            Column("metric", "Metric", numeric=False),
            Column("n", "n", decimals=0),
            Column("kendall", "Kendall tau", decimals=2, signed=True),
            Column("kendall_p", "p", decimals=3),
            Column("spearman", "Spearman rho", decimals=2, signed=True),
            Column("independent", "Tau, other seed", decimals=2, signed=True),
        ),
        blocks=(Block("Targets", tuple(rows)),),
        notes=(
            Note(f"Each cell is one point, its training seeds averaged. n below {MINIMUM_PAIRS} gives no correlation."),
            Note(
                "In brackets: 95 % bootstrap interval over the choice of the cells, none where the order agrees in "
                "every resample; p: two-sided, of tau = 0."
            ),
            Note(
                "Proxy and target of one seed start from the same trained weights, which inflates tau. Tau, other "
                "seed: the proxy score of one seed against the target score of another, averaged over all pairs."
            ),
        ),
    )


def _wild_row(score: WildScore) -> Row:
    cells = {label: _improvement_cell(part) for label, part in score.parts.items()}
    total = {"score": _improvement_cell(score.score)} if score.score is not None else {}
    if score.adjusted_p is not None:
        total["p"] = Cell(score.adjusted_p)
    return Row({"name": Cell(text=score.backbone), **cells, **total})


def _improvement_cell(improvement: Improvement) -> Cell:
    return Cell(improvement.value, interval=_ends(improvement.interval))


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if interval else None


def _percent(key: str, title: str) -> Column:
    return Column(key, title, unit="%", scale=100, decimals=1, higher_is_better=True, signed=True)


def _proxy_text(measured: Measurements) -> str:
    return f"Left out as the proxy: {', '.join(sorted(proxies(measured)))}."


def _covers(scores: Sequence[WildScore]) -> list[Note]:
    found = [part for score in scores for part in (*score.parts.values(), score.score) if part is not None]
    covered = sorted({part.interval.covers for part in found if part.interval})
    if not covered:
        return [
            Note(
                "No intervals: these need three random cells, and two training seeds of a cell or three searches of a "
                "method. Differences between single runs are not evidence."
            )
        ]
    return [
        Note(f"In brackets: 95 % t interval (Welch); it covers {' or '.join(covered)}, and no other variation."),
        Note("p: two-sided, of no improvement over random cells, adjusted for all cells of this table (Holm)."),
    ]
