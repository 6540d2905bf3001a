"""The paper's rows beside measured ones: units, conventions of counting, remarks, what the data are."""

from __future__ import annotations

import pytest
from reading import notes, on_published_data, table
from synthetic import mini_results

from benchmarks.tables import Table
from benchmarks.tables.build import build_tables
from nas import build_network, count, zoo


def test_table_4_stands_in_the_columns_of_the_real_data() -> None:
    results = mini_results()
    more = [r.model_copy(update={"task": "other", "key": r.key + "x"}) for r in results if r.kind == "detect"]
    built = table("detection", on_published_data([*results, *more], "other"), published=True)
    assert "other_AP" in built.blocks[-1].rows[-1].cells
    assert "do not compare" not in notes(built)


def test_table_5_says_for_each_data_set_whether_it_is_the_papers() -> None:
    sets = ("market1501", "dukemtmcreid", "msmt17")
    real = notes(table("reid", on_published_data(mini_results(), *sets), published=True))
    assert "on Market-1501, DukeMTMC-reID and MSMT17, the same images as above, trained by the paper's authors" in real
    assert "do not compare" not in real
    mixed = notes(table("reid", on_published_data(mini_results(), "market1501"), published=True))
    assert "on Market-1501, the same images as above" in mixed
    assert "Not so DukeMTMC-reID and MSMT17: the rows above are on dukemtmcreid, msmt17, so the two" in mixed
    drawn = notes(table("reid", on_published_data(mini_results()), published=True))
    assert "on Market-1501, DukeMTMC-reID and MSMT17; the rows above are on" in drawn
    assert "the same images" not in drawn


def test_published_rows_never_count_as_best() -> None:
    built = table("detection", mini_results(), published=True)
    column = next(c for c in built.columns if c.key == "coco_AP")
    assert built.best(column) == table("detection", mini_results()).best(column)


def test_a_published_number_in_another_unit_keeps_its_unit() -> None:
    built = table("detection", mini_results(), published=True)
    assert built.blocks[-1].rows[0].cells["paper_madds"].text == "31.4 B"


def test_multiply_adds_of_two_conventions_stand_in_two_columns() -> None:
    """P-DARTS at 320 pixels: 1,106 million of convolutions, 1.1 billion as Table 4 prints, which counts 1,137."""
    results = [r.model_copy(update={"details": {"paper_macs": 1_137_000_000}}) for r in mini_results()]
    built = table("detection", results, published=True)
    keys = [column.key for column in built.columns]
    assert keys.index("paper_madds") == keys.index("madds") + 1
    assert all("madds" not in row.cells for row in built.blocks[-1].rows)
    rows = [row.cells for block in built.blocks[:-1] for row in block.rows if "madds" in row.cells]
    assert {cells["paper_madds"].value for cells in rows} == {1_137_000_000}
    assert "an output of batch normalisation adds 2" in notes(built)
    assert "paper_madds" not in [column.key for column in table("detection", results).columns]


def test_published_search_costs_keep_their_unit_in_a_column_of_seconds() -> None:
    results = [r.model_copy(update={"task": "cifar10"}) if r.kind == "classify" else r for r in mini_results()]
    (built,) = [t for t in build_tables(results, published=True) if t.name == "classification"]
    assert next(column.unit for column in built.columns if column.key == "cost") == "s"
    texts = [row.cells["cost"].text for row in built.blocks[-1].rows if row.cells["cost"].value is not None]
    assert "0.3 GPU-days" in texts
    assert all(text is not None and text.endswith(" GPU-days") for text in texts)


def test_sizes_are_of_one_network_and_no_mean_over_data_sets() -> None:
    digits = [r for r in mini_results() if r.kind == "classify"]
    larger = [
        r.model_copy(
            update={
                "key": f"{r.key}-large",
                "task": "animals",
                "backbone": r.backbone.model_copy(update={"parameters": 3_400_000, "macs": 540_000_000}),
            }
        )
        for r in digits
    ]
    (built,) = [t for t in build_tables([*digits, *larger]) if t.name == "classification"]
    first = built.caption.removeprefix("Classification: ").split(", ")[0]
    of_row = {r.backbone.name: r.backbone.parameters for r in (larger if first == "animals" else digits)}
    rows = [row for row in built.rows() if row.role == "measured"]
    assert {row.cells["name"].text: row.cells["params"].value for row in rows}.items() <= of_row.items()
    assert any(f"for the first of {first}" in note.text for note in built.notes)


def test_footnotes_of_columns_that_are_not_shown_are_left_out() -> None:
    results = [r.model_copy(update={"task": "cifar10"}) if r.kind == "classify" else r for r in mini_results()]
    (built,) = [t for t in build_tables(results, published=True) if t.name == "classification"]
    used = {mark for row in built.rows() for column in built.columns for mark in row.cell(column).marks}
    assert {note.mark for note in built.notes if note.mark} == used
    assert not any("CIFAR-100 figure" in note.text for note in built.notes)


def marked(built: Table, name: str, column: str) -> str:
    """The footnotes of a cell of the measured row ``name``."""
    rows = [row for block in built.blocks if not block.source for row in block.rows]
    marks = next(r.cells[column].marks for r in rows if r.cells["name"].text == name)
    return " ".join(note.text for note in built.notes if note.mark in marks)


@pytest.mark.parametrize("cell", ["nasnet_a", "amoebanet_a", "pnas", "enas_micro_figure", "enas_micro_script"])
def test_a_cell_from_another_network_says_that_it_stands_in_ours(cell: str) -> None:
    """Under any name; a cell of the DARTS space says nothing of the kind."""
    given = {"genotype": zoo.genotype(cell).to_dict(), "name": "Theirs"}
    results = [
        r.model_copy(update={"backbone": r.backbone.model_copy(update=given)}) if r.backbone.name == "darts_v2" else r
        for r in mini_results()
    ]
    for kind in ("classification", "detection", "reid"):
        built = table(kind, results, published=True)
        assert "in our network, which is DARTS's" in marked(built, "Theirs", "name")
        assert not marked(built, "pdarts_cifar10", "name")


def test_darts_multiply_adds_are_marked_here_and_in_the_papers_rows() -> None:
    results = [r.model_copy(update={"task": "imagenet"}) if r.kind == "classify" else r for r in mini_results()]
    for kind, unmatched in (("classification", "574"), ("reid", "573")):
        built = table(kind, results, published=True)
        assert "530 M multiply-adds, 544 M as the paper counts" in marked(built, "darts_v2", "paper_madds")
        assert not marked(built, "pdarts_cifar10", "paper_madds")
        theirs = next(r for r in built.blocks[-1].rows if (r.cells["paper_madds"].text or "").startswith(unmatched))
        texts = [note.text for note in built.notes if note.mark in theirs.cells["paper_madds"].marks]
        assert any("the DARTS paper's own figure" in text for text in texts)


def test_the_remark_on_darts_multiply_adds_is_true() -> None:
    network = build_network("darts_v2", "imagenet", num_classes=1000)
    counted = [round(count(network, 224, convention=rule).macs / 1e6) for rule in ("macs", "paper")]
    assert counted == [530, 544]
