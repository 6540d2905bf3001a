"""The summary of a report: the answer, its numbers, and the reasons to doubt it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log1p
from statistics import median

from benchmarks.report.plots import seconds
from benchmarks.report.provenance import computed
from benchmarks.statistics import MINIMUM_PAIRS, MINIMUM_SAMPLE, runs_to_detect
from benchmarks.store import Result
from benchmarks.tables.keys import Point, Task
from benchmarks.tables.measurements import Measurements
from benchmarks.transfer import ProxyCorrelation, WildScore, proxy_correlations, targets, wild_scores

FEW_RANDOM_CELLS = 10  # below this the baseline itself is uncertain by more than most differences


@dataclass(frozen=True)
class Tile:
    """One number of the summary."""

    title: str
    value: str
    hint: str


def tiles(measured: Measurements, results: Sequence[Result]) -> Iterator[Tile]:
    """The numbers at the top of the page."""
    scores = _scored(measured)
    if scores:
        yield _wild_tile(scores)
    ranks = [entry.correlation.kendall for entry in proxy_correlations(measured) if entry.correlation]
    if ranks:
        yield Tile("proxy to target", f"{median(ranks):+.2f}", f"median Kendall tau over {len(ranks)} targets")
    yield Tile("networks", str(_networks(measured)), f"{len(measured.results)} measurements")
    yield Tile("computing time", seconds(sum(r.cost.seconds for r in results)), "; ".join(_devices(results)))


def sentences(measured: Measurements) -> Iterator[str]:
    """The findings in sentences."""
    scores = _scored(measured)
    if scores:
        yield from _wild_sentences(scores, len(targets(measured)))
    entries = proxy_correlations(measured)
    if entries:
        yield _winner_sentence(measured, entries)
        yield _rank_sentence(entries)


def winners(measured: Measurements) -> Iterator[str]:
    """The highest score of every task, and on how many runs it rests."""
    for task in measured.tasks:
        metric, setting = measured.primary(task), measured.settings(task)[0]
        record, best = measured.metric(task, setting, metric), next(iter(measured.ranked(task)), None)
        if record is not None and best is not None:
            value = measured.points(task, setting, metric)[best]
            said = f"{100 * value:.1f} %" if record.unit == "fraction" else f"{value:.4g} {record.unit}"
            summary = measured.summary(task, setting, best.backbone, metric, best.search_seed)
            yield f"{task.title}: {measured.label(best)}, {metric} {said}, n = {summary.n if summary else 1}"


def doubts(measured: Measurements) -> Iterator[str]:
    """Limits of the numbers."""
    cells = {(r.backbone.name, r.backbone.search_seed) for r in measured.results if r.backbone.kind == "random"}
    if len(cells) < FEW_RANDOM_CELLS:
        yield f"The baseline is {len(cells)} random cell{'' if len(cells) == 1 else 's'}: a rough one."
    if len({result.seed for result in measured.results}) < 2:
        yield "Every network was trained once on each task: differences may be chance (see the power note)."
    searches = {r.backbone.search_seed for r in measured.results if r.backbone.kind == "searched"}
    if len(searches) == 1:
        yield "Every method searched once: the scatter between searches is unknown."
    if any(len(measured.settings(task)) > 1 for task in measured.tasks):
        yield "Some columns mix protocols; their cells are marked."
    weak = [task.title for task in measured.tasks if _at_chance(measured, task)]
    if weak:
        yield f"No better than twice the chance level: {', '.join(weak)}."


def signed(fraction: float) -> str:
    """+4.1 %."""
    return f"{100 * fraction:+.1f} %"


def _scored(measured: Measurements) -> list[WildScore]:
    """The cells that have a wild score, best first."""
    return [score for score in wild_scores(measured) if score.score is not None]


def _wild_tile(scores: Sequence[WildScore]) -> Tile:
    """The winner if there is one, else that there is none."""
    best = scores[0].score
    winners = [entry for entry in scores if entry.wins]
    if winners and best is not None:
        return Tile("better than random cells", str(len(winners)), ", ".join(entry.backbone for entry in winners))
    tested = [entry for entry in scores if entry.adjusted_p is not None]
    said = f"of {len(tested)} cells, all comparisons together" if tested else "n = 1: nothing can be told apart"
    return Tile("better than random cells", "none" if tested else "–", said)


def _wild_sentences(scores: Sequence[WildScore], data_sets: int) -> Iterator[str]:
    """Each winner with its interval; without one, that the data do not separate the cells, and what would."""
    where = f"{data_sets} data set{'' if data_sets == 1 else 's'} that no cell was searched on"
    tested = [entry for entry in scores if entry.adjusted_p is not None]
    if not tested:
        yield (
            f"Over {where}, no cell can be told from random cells: an interval needs {MINIMUM_SAMPLE} random cells, "
            "and two training seeds of a cell or three searches of a method."
        )
        return
    winners = [entry for entry in tested if entry.wins]
    for entry in winners:
        if entry.score is not None and entry.score.interval is not None:
            low, high = entry.score.interval.low, entry.score.interval.high
            yield (
                f"Over {where}, {entry.backbone} is {signed(entry.score.value)} relative to the mean random cell "
                f"(95 % interval {signed(low)} to {signed(high)}, over {entry.score.interval.covers}; p = "
                f"{entry.adjusted_p:.3f}, adjusted for {len(tested)} cells)."
            )
    if not winners:
        said = f"the data do not separate any of the {len(tested)} cells from random cells"
        yield f"Over {where}, {said}.{_needed(tested)}"


def _needed(tested: Sequence[WildScore]) -> str:
    """How many cells would tell the largest improvement that was seen from none."""
    found = tested[0].score
    if found is None or found.value <= 0 or not found.deviation:
        return ""
    runs = runs_to_detect(log1p(found.value), found.deviation)
    if runs is None:
        return ""
    return (
        f" If the largest, {tested[0].backbone} with {signed(found.value)}, were true, about {runs} random cells and "
        f"as many searches or trainings would show it with power 80 % (here: {found.cells} and {found.ours})."
    )


def _winner_sentence(measured: Measurements, entries: Sequence[ProxyCorrelation]) -> str:
    first = entries[0]
    proxy = [entry for entry in entries if entry.proxy == first.proxy and len(entry.points) > 1]
    if not proxy:
        return f"Fewer than two cells were measured on both {first.proxy.name} and a target."
    winner = max(proxy[0].points, key=lambda point: proxy[0].points[point][0])
    wins = sum(winner == _first_cell(measured, entry) for entry in proxy)
    name = measured.label(winner)
    where = f"{wins} of {len(proxy)} target{'' if len(proxy) == 1 else 's'}"
    return f"The cell with the highest score on {first.proxy.name} ({name}) also has the highest on {where}."


def _first_cell(measured: Measurements, entry: ProxyCorrelation) -> Point:
    return next(point for point in measured.ranked(entry.target) if point in entry.points)


def _rank_sentence(entries: Sequence[ProxyCorrelation]) -> str:
    ranks = [entry.correlation for entry in entries if entry.correlation is not None]
    if not ranks:
        return f"Fewer than {MINIMUM_PAIRS} cells: too few to say whether the proxy predicts the targets."
    low, high = min(r.kendall for r in ranks), max(r.kendall for r in ranks)
    sure = sum(r.kendall_interval is not None and r.kendall_interval.low > 0 for r in ranks)
    span = f"{low:+.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:+.2f} to {high:+.2f}"
    return (
        f"Kendall's tau between proxy and target is {span} over n = {ranks[0].n} cells; "
        f"its interval lies above 0 on {sure} of {len(ranks)} targets."
    )


def _at_chance(measured: Measurements, task: Task) -> bool:
    metric = measured.primary(task)
    if not measured.higher_is_better(task, metric):
        return False
    setting = measured.settings(task)[0]
    values, chance = measured.points(task, setting, metric).values(), measured.chance(task, setting, metric)
    return bool(values) and chance is not None and max(values) < 2 * chance


def _networks(measured: Measurements) -> int:
    return len({Point(r.backbone.name, r.backbone.search_seed) for r in measured.results})


def _devices(results: Sequence[Result]) -> list[str]:
    return sorted({result.cost.device for result in computed(results)})
