"""All tables of a set of results, with the paper's rows where they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from benchmarks.store import Result
from benchmarks.tables.ablation import ablation_tables
from benchmarks.tables.classification import classification_table
from benchmarks.tables.detection import detection_table
from benchmarks.tables.keys import data_set_title
from benchmarks.tables.measurements import Measurements
from benchmarks.tables.other import other_tables
from benchmarks.tables.published import add_published, published_only
from benchmarks.tables.ranks import rank_table
from benchmarks.tables.reidentification import reid_table
from benchmarks.tables.search import search_table
from benchmarks.tables.select import order_footnotes
from benchmarks.tables.table import Note, Table
from benchmarks.tables.transfer import correlation_table, wild_table

_MEMORY = ("run", "stage1", "stage2", "stage3")
_CIFAR = {"cifar10": "c10", "cifar100": "c100"}
_REID = {"market1501": "market", "dukemtmcreid": "duke", "msmt17": "msmt"}
_OTHER = (
    "trained by the paper's authors with their own protocol and software; read it as a reference, not as a competitor."
)
_COUNTS = (
    "Multiply-adds are those of convolutions and linear layers; as the paper counts, an output of batch normalisation "
    "adds 2 and one of ReLU 1."
)
_OTHER_DATA = "measured by the paper's authors on {theirs}; the rows above are on {ours}, so the two do not compare."
_TEST_DEV = (
    "measured by the paper's authors on MS-COCO test-dev, the rows above on val2017: about as difficult, not the same "
    f"images. The networks were {_OTHER}"
)


def build_tables(results: Iterable[Result], *, published: bool = False, allow_mixed: bool = False) -> list[Table]:
    """Classification, detection, re-identification, own tasks, wild score, correlation: those that have results.

    With ``published`` the paper's rows are added as blocks of their own. Raises ``MixedProtocols`` where one column
    would hold results of two protocols, unless ``allow_mixed``; then every such cell is marked with its protocol.
    """
    return build(Measurements(results, allow_mixed), published)


def build(measured: Measurements, published: bool = False) -> list[Table]:
    """Build the tables as :func:`build_tables` does, from results that are already grouped."""
    tables: list[Table | None] = []
    for make, add in (
        (classification_table, _with_classification),
        (detection_table, _with_detection),
        (reid_table, _with_reid),
    ):
        table = make(measured)
        tables += add(table, measured) if published and table is not None else [table]
    tables += other_tables(measured)
    tables += [*ablation_tables(measured), wild_table(measured), rank_table(measured), correlation_table(measured)]
    searches = search_table(measured)
    if published and searches is not None:
        searches = add_published(searches, "table2", {name: name for name in _MEMORY}, _OTHER)
    tables.append(searches)
    return [order_footnotes(table) for table in tables if table is not None]


def _with_classification(table: Table, measured: Measurements) -> list[Table]:
    """Table 1 beside CIFAR results, Table 3 beside ImageNet's; for other data both follow as tables of their own."""
    names = {task.name for task in measured.kind("classify")}
    keys = {"architecture": "name", "params": "params", "cost": "cost", "method": "method"}
    cifar = {column: f"{name}_top1_error" for name, column in _CIFAR.items() if name in names}
    if cifar:
        table = add_published(table, "table1", {**keys, **cifar}, _OTHER)
    if "imagenet" in names:
        imagenet = {"top1": "imagenet_top1_error", "top5": "imagenet_top5_error", "madds": "paper_madds"}
        table = add_published(_counted_twice(table), "table3", {**keys, **imagenet}, _OTHER)
    if cifar or "imagenet" in names:
        return [table]
    return [table, published_only("table1"), published_only("table3")]


def _counted_twice(table: Table) -> Table:
    """``table`` with a second column of multiply-adds, in the paper's way of counting: its rows have no other."""
    columns = list(table.columns)
    place = next(index for index, column in enumerate(columns) if column.key == "madds")
    columns.insert(place + 1, replace(columns[place], key="paper_madds", title="as the paper counts"))
    return replace(table, columns=tuple(columns), notes=(*table.notes, Note(_COUNTS)))


def _with_detection(table: Table, measured: Measurements) -> list[Table]:
    """Table 4's rows, in the columns of COCO where it was measured, else of the first data set."""
    names = list(dict.fromkeys(task.name for task in measured.kind("detect")))
    task = next((name for name in names if _is_published(measured, "detect", name)), names[0])
    keys = {"network": "network", "input": "input", "backbone": "name", "madds": "paper_madds"}
    keys |= {metric: f"{task}_{metric}" for metric in ("AP", "AP50", "AP75", "APS", "APM", "APL")}
    if _is_published(measured, "detect", task):
        warning = _TEST_DEV
    else:
        warning = _OTHER_DATA.format(theirs="MS-COCO test-dev", ours=_data(measured, "detect", [task]))
    return [add_published(_counted_twice(table), "table4", keys, warning)]


def _with_reid(table: Table, measured: Measurements) -> list[Table]:
    """Table 5's rows, with a note on each of its data sets that was measured here."""
    keys = {"backbone": "name", "parts": "parts", "feat_dim": "part_dim", "madds": "paper_madds"}
    for name, column in _REID.items():
        keys |= {f"{column}_{metric}": f"{name}_{metric}" for metric in ("rank1", "mAP")}
    return [add_published(table, "table5", keys, _reid_warning(measured))]


def _reid_warning(measured: Measurements) -> str:
    """Which of the table's data sets are the paper's, and which are others of the same name."""
    found = {task.name for task in measured.kind("reid")}
    names = [name for name in _REID if name in found]
    same = [name for name in names if _is_published(measured, "reid", name)]
    other = [name for name in names if name not in same]
    if not same:
        return _OTHER_DATA.format(theirs=_titles(_REID), ours=_data(measured, "reid", names or found))
    shared = f"on {_titles(same)}, the same images as above, {_OTHER}"
    if not other:
        return shared
    ours = _data(measured, "reid", other)
    return f"{shared} Not so {_titles(other)}: the rows above are on {ours}, so the two do not compare."


def _is_published(measured: Measurements, kind: str, name: str) -> bool:
    """Whether all results of this data set say that it is the published one, whatever a suite calls it.

    Results from before this was recorded, and numbers read from a file, do not say so: they count as other data.
    """
    results = [result for result in measured.results if (result.kind, result.task) == (kind, name)]
    return all(result.details.get("data_is_published") is True for result in results)


def _data(measured: Measurements, kind: str, names: Iterable[str]) -> str:
    wanted = set(names)
    return ", ".join(sorted({r.provenance.data for r in measured.results if r.kind == kind and r.task in wanted}))


def _titles(names: Iterable[str]) -> str:
    *head, last = map(data_set_title, names)
    return f"{', '.join(head)} and {last}" if head else last
