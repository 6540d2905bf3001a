"""What a reader gets in half a minute: the answer, its numbers, and the reasons to doubt it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.report.plots import seconds
from benchmarks.report.provenance import computed
from benchmarks.statistics import MINIMUM_PAIRS, MINIMUM_SAMPLE, Improvement
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
    best = _best(measured)
    if best is not None and best.score is not None:
        which = "of a searched cell" if measured.backbones[best.backbone].kind == "searched" else "of a cell"
        yield Tile(f"best wild score {which}", signed(best.score.value), best.backbone)
    ranks = [entry.correlation.kendall for entry in proxy_correlations(measured) if entry.correlation]
    if ranks:
        yield Tile("proxy to target", f"{median(ranks):+.2f}", f"median Kendall tau over {len(ranks)} targets")
    yield Tile("networks", str(_networks(measured)), f"{len(measured.results)} measurements")
    yield Tile("computing time", seconds(sum(r.cost.seconds for r in results)), "; ".join(_devices(results)))


def sentences(measured: Measurements) -> Iterator[str]:
    """The answer in words."""
    best = _best(measured)
    if best is not None and best.score is not None:
        yield _wild_sentence(best, best.score, len(targets(measured)))
    entries = proxy_correlations(measured)
    if entries:
        yield _winner_sentence(measured, entries)
        yield _rank_sentence(entries)


def winners(measured: Measurements) -> Iterator[str]:
    """The best network of every task."""
    for task in measured.tasks:
        metric, setting = measured.primary(task), measured.settings(task)[0]
        record, best = measured.metric(task, setting, metric), next(iter(measured.ranked(task)), None)
        if record is not None and best is not None:
            value = measured.points(task, setting, metric)[best]
            said = f"{100 * value:.1f} %" if record.unit == "fraction" else f"{value:.4g} {record.unit}"
            yield f"{task.title}: {measured.label(best)}, {metric} {said}"


def doubts(measured: Measurements) -> Iterator[str]:
    """What the numbers cannot carry."""
    cells = {(r.backbone.name, r.backbone.search_seed) for r in measured.results if r.backbone.kind == "random"}
    if len(cells) < FEW_RANDOM_CELLS:
        yield f"The baseline is {len(cells)} random cell{'' if len(cells) == 1 else 's'}: a rough one."
    if len({result.seed for result in measured.results}) < 2:
        yield "Every network was trained once on each task: differences may be luck (see the power note)."
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


def _best(measured: Measurements) -> WildScore | None:
    """The searched cell with the best wild score; any other cell where nothing was searched."""
    scores = [score for score in wild_scores(measured) if score.score is not None]
    searched = [score for score in scores if measured.backbones[score.backbone].kind == "searched"]
    return next(iter(searched or scores), None)


def _wild_sentence(best: WildScore, score: Improvement, data_sets: int) -> str:
    where = f"{data_sets} data set{'' if data_sets == 1 else 's'} that no cell was searched on"
    text = f"Over {where}, {best.backbone} is {signed(score.value)} relative to the mean random cell"
    if score.interval is None:
        return f"{text}; fewer than {MINIMUM_SAMPLE} random cells give no interval."
    text += f" (95 % interval {signed(score.interval.low)} to {signed(score.interval.high)}"
    if score.interval.low <= 0 <= score.interval.high:
        return f"{text}: not distinguishable from a random cell)."
    return f"{text}, over {score.interval.covers})."


def _winner_sentence(measured: Measurements, entries: Sequence[ProxyCorrelation]) -> str:
    first = entries[0]
    proxy = [entry for entry in entries if entry.proxy == first.proxy and len(entry.points) > 1]
    if not proxy:
        return f"Fewer than two cells were measured on both {first.proxy.name} and a target."
    winner = max(proxy[0].points, key=lambda point: proxy[0].points[point][0])
    wins = sum(winner == _first_cell(measured, entry) for entry in proxy)
    name = measured.label(winner)
    where = f"{wins} of {len(proxy)} target{'' if len(proxy) == 1 else 's'}"
    return f"The best cell on {first.proxy.name} ({name}) is also the best on {where}."


def _first_cell(measured: Measurements, entry: ProxyCorrelation) -> Point:
    return next(point for point in measured.ranked(entry.target) if point in entry.points)


def _rank_sentence(entries: Sequence[ProxyCorrelation]) -> str:
    ranks = [entry.correlation for entry in entries if entry.correlation is not None]
    if not ranks:
        return f"Fewer than {MINIMUM_PAIRS} cells: whether the proxy predicts the targets cannot be said."
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
