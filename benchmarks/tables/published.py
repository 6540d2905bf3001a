"""The paper's own tables as :class:`Table` values, and its rows as a marked block inside a measured table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count

from benchmarks.published import TABLE_NAMES, PublishedTable, number, published_table
from benchmarks.tables.select import order_footnotes
from benchmarks.tables.table import Block, Cell, Column, Note, Row, Table

# column of the facts -> (title, group, scale of the printed number to base units)
_COLUMNS = {
    "architecture": ("Architecture", "", 1.0),
    "network": ("Network", "", 1.0),
    "backbone": ("Backbone", "", 1.0),
    "method": ("Search method", "", 1.0),
    "run": ("Run", "", 1.0),
    "stage1": ("Stage 1", "", 1e9),
    "stage2": ("Stage 2", "", 1e9),
    "stage3": ("Stage 3", "", 1e9),
    "c10": ("CIFAR-10 err.", "", 0.01),
    "c100": ("CIFAR-100 err.", "", 0.01),
    "top1": ("Top-1 err.", "", 0.01),
    "top5": ("Top-5 err.", "", 0.01),
    "params": ("Params", "", 1e6),
    "cost": ("Search cost", "", 86_400.0),
    "input": ("Input", "", 1.0),
    "parts": ("Parts", "", 1.0),
    "feat_dim": ("Feat. dim", "", 1.0),
    **{ap: (ap, "", 0.01) for ap in ("AP", "AP50", "AP75", "APS", "APM", "APL")},
    "market_rank1": ("Rank-1", "Market-1501", 0.01),
    "market_mAP": ("mAP", "Market-1501", 0.01),
    "duke_rank1": ("Rank-1", "DukeMTMC-reID", 0.01),
    "duke_mAP": ("mAP", "DukeMTMC-reID", 0.01),
    "msmt_rank1": ("Rank-1", "MSMT17", 0.01),
    "msmt_mAP": ("mAP", "MSMT17", 0.01),
}
_MADDS = {"table3": 1e6, "table4": 1e9, "table5": 1e6}  # units of the multiply-adds
_TEXTS = {"architecture", "network", "backbone", "method"}
_BLOCKS = {True: "Networks designed by hand", False: "Searched cells"}


def published_tables() -> list[Table]:
    """Tables 1 to 5 of the paper, every cell as it is printed there."""
    return [order_footnotes(_table(published_table(name))) for name in TABLE_NAMES]


def published_only(name: str) -> Table:
    """One table of the paper by name (``"table4"``)."""
    return _table(published_table(name))


def add_published(table: Table, name: str, keys: Mapping[str, str], warning: str) -> Table:
    """``table`` with the rows of the paper's table ``name`` as one more block, and their footnotes.

    ``keys`` maps columns of the paper to columns of ``table``. ``warning`` says why the two are (not) comparable.
    """
    source = published_table(name)
    marks = _footnote_marks(source, taken=[note.mark for note in table.notes])
    kept = [row for row in source.rows if any(number(row[c]) is not None for c in keys if c not in _TEXTS)]
    rows = [
        Row({keys[k]: cell for k, cell in _cells(source, row, marks).items() if k in keys}, "published") for row in kept
    ]
    block = Block("The paper's numbers, not measured here", tuple(_unit_texts(rows, table)), source.source)
    unseen = _marks(_cells(source, row, marks) for row in source.rows) - _marks(row.cells for row in rows)
    footnotes = [note for note in _notes(source, marks, heads=False) if note.mark not in unseen]
    notes = [Note(f"{source.source}: {warning}"), *footnotes]
    return Table(table.name, table.caption, table.columns, (*table.blocks, block), (*table.notes, *notes))


def _marks(rows: Iterable[Mapping[str, Cell]]) -> set[str]:
    return {mark for cells in rows for cell in cells.values() for mark in cell.marks}


def _unit_texts(rows: Iterable[Row], table: Table) -> Iterable[Row]:
    """Where the paper prints another unit than the column (B for M, GPU-days for s), the unit goes with the number."""
    units = {column.key: column.unit for column in table.columns}
    for row in rows:
        cells = dict(row.cells)
        for key, unit_of in (("madds", _madds_unit), ("paper_madds", _madds_unit), ("cost", lambda _: "GPU-days")):
            cell = cells.get(key)
            if cell is not None and cell.value is not None and cell.text is not None and key in units:
                unit = unit_of(cell)
                if unit != units[key]:
                    cells[key] = Cell(cell.value, f"{cell.text} {unit}", marks=cell.marks)
        yield Row(cells, row.role)


def _madds_unit(cell: Cell) -> str:
    assert cell.value is not None
    assert cell.text is not None
    return "B" if float(cell.text.lstrip("~")) * 1e8 < cell.value and cell.value >= 1e8 else "M"


def _table(source: PublishedTable) -> Table:
    marks = _footnote_marks(source, taken=[])
    grouped: dict[bool, list[Row]] = {}
    for row in source.rows:
        grouped.setdefault(source.by_hand(row), []).append(Row(_cells(source, row, marks), "published"))
    titles = _BLOCKS if len(grouped) > 1 else {True: "Rows", False: "Rows"}
    blocks = [Block(titles[by_hand], tuple(rows), source.source) for by_hand, rows in sorted(grouped.items())]
    return Table(
        name=source.name,
        caption=f"{source.source}: {source.caption}",
        columns=tuple(_column(source, key, marks) for key in source.columns),
        blocks=tuple(reversed(blocks)),
        notes=(Note("Published numbers, printed as in the paper; none was measured here."), *_notes(source, marks)),
    )


def _column(source: PublishedTable, key: str, marks: Mapping[int, str]) -> Column:
    title, group, scale = _shape(source, key)
    unit = source.units.get(key, source.units.get(key.split("_")[-1], "")).replace("test error ", "")
    return Column(
        key,
        title,
        group=group,
        unit=unit.split(" multiply-adds")[0],
        scale=1 / scale,
        numeric=key not in _TEXTS,
        marks=tuple(marks[i] for i, note in enumerate(source.footnotes) if note.heads(key)),
    )


def _shape(source: PublishedTable, key: str) -> tuple[str, str, float]:
    if key == "madds":
        return "Multiply-adds", "", _MADDS[source.name]
    return _COLUMNS[key]


def _cells(source: PublishedTable, row: Mapping[str, str | None], marks: Mapping[int, str]) -> dict[str, Cell]:
    texts = list(row.values())
    cells = {}
    for key, text in row.items():
        value = number(text) if key not in _TEXTS else None
        touching = tuple(marks[i] for i, note in enumerate(source.footnotes) if note.touches(texts, key))
        scaled = None if value is None else value * _shape(source, key)[2]
        cells[key] = Cell(scaled, text, marks=touching)
    return cells


def _footnote_marks(source: PublishedTable, taken: Iterable[str]) -> dict[int, str]:
    """Footnote number -> mark: the paper's own where it has one, else p1, p2, ... of our remarks."""
    used = set(taken)
    marks: dict[int, str] = {}
    for index, note in enumerate(source.footnotes):
        ours = next(mark for number in count(1) if (mark := f"p{number}") not in used)
        marks[index] = note.mark if note.mark and note.mark not in used else ours
        used.add(marks[index])
    return marks


def _notes(source: PublishedTable, marks: Mapping[int, str], heads: bool = True) -> list[Note]:
    """The footnotes; ``heads`` says whether the columns' heads are the paper's own, so that they can carry a mark."""
    notes = []
    for index, note in enumerate(source.footnotes):
        text = f"{note.text}." if note.mark else f"Our remark: {note.text}."
        whole = [column for column in source.columns if note.heads(column)]
        if whole and not heads:
            notes.append(Note(f"{source.source}, {', '.join(_title(source, column) for column in whole)}: {text}"))
        else:
            notes.append(Note(text, marks[index]))
    return notes


def _title(source: PublishedTable, key: str) -> str:
    title, group, _ = _shape(source, key)
    return f"{group} {title}".strip()
