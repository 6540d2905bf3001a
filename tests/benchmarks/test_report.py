"""The report: one file without a network, that shows every backbone and says what it cannot know."""

from __future__ import annotations

import base64
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from synthetic import backbones, classify_result, mini_results

from benchmarks.protocol import load_protocol
from benchmarks.report import write_report
from benchmarks.report.axes import Scale
from benchmarks.report.checklist import checklist
from benchmarks.report.figures import mean_entropy, trade_offs
from benchmarks.report.paired import paired_table
from benchmarks.report.plots import Dot, scatter, seconds
from benchmarks.report.power import power_table
from benchmarks.report.provenance import protocol_texts
from benchmarks.report.summary import doubts, sentences, tiles
from benchmarks.statistics import runs_to_detect
from benchmarks.store import Result
from benchmarks.tables.measurements import Measurements

VOID = {"meta", "input", "img", "br", "link"}


def page(folder: Path, results: list[Result]) -> str:
    return write_report(folder, results).read_text(encoding="utf-8")


class Structure(HTMLParser):
    """Checks nesting and collects what the page loads, links to and labels."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    structure = Structure(page(tmp_path, mini_results()))
    assert structure.open == []
    assert len(structure.ids) == len(set(structure.ids))
    links = [str(a["href"]) for tag, a in structure.attributes if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= set(structure.ids)


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    text = page(tmp_path, mini_results())
    assert "http" not in text
    structure = Structure(text)
    sources = [
        str(a.get("src")) for tag, a in structure.attributes if tag in {"img", "script", "iframe"} and a.get("src")
    ]
    assert all(source.startswith("data:") for source in sources)
    assert not any(tag == "link" for tag, _ in structure.attributes)
    assert "url(" not in text
    assert "@import" not in text


def test_every_backbone_and_every_cell_is_on_the_page(tmp_path: Path) -> None:
    results = mini_results(search_seeds=(0, 1))
    text = page(tmp_path, results)
    assert [b.name for b in backbones() if b.name not in text] == []
    assert all(f"random.{seed}" in text for seed in range(3))
    drawings = re.findall(r'aria-label="normal cell: [^"]*"', text)
    assert len(drawings) == len({str(r.backbone.genotype) for r in results if r.backbone.genotype})


def test_pictures_are_embedded_and_missing_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    Image.new("RGB", (8, 6), "red").save(tmp_path / "jobs/seen.png")
    here, gone = (r for r in mini_results() if r.kind == "detect" and r.backbone.name in {"darts_v2", "pdarts_cifar10"})
    here = here.model_copy(update={"artifacts": {"picture": "jobs/seen.png", "config": "jobs/config.py"}})
    gone = gone.model_copy(update={"artifacts": {"picture": "jobs/gone.png"}})
    text = page(tmp_path, [here, gone])
    embedded = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', text)
    assert [alt for _, alt in embedded] == [f"COCO: {here.backbone.name}"]
    assert base64.b64decode(embedded[0][0]) == (tmp_path / "jobs/seen.png").read_bytes()


def test_large_pictures_are_shrunk(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    Image.effect_noise((3000, 2000), 50).save(tmp_path / "jobs/large.png")
    result = next(r for r in mini_results() if r.kind == "reid")
    text = page(tmp_path, [result.model_copy(update={"artifacts": {"picture": "jobs/large.png"}})])
    assert "data:image/jpeg" in text
    assert len(text) < (tmp_path / "jobs/large.png").stat().st_size / 3


def test_data_that_the_run_made_is_shown_beside_the_proxy(tmp_path: Path) -> None:
    folder = tmp_path / "data/people-0123456789ab/market1501/bounding_box_train"
    folder.mkdir(parents=True)
    for index in range(12):
        Image.new("RGB", (16, 32), (10 * index, 0, 0)).save(folder / f"{index}.jpg")
    text = page(tmp_path, mini_results())
    assert 'alt="digits (proxy)"' in text
    assert 'alt="people, market1501"' in text


def test_names_are_text_never_markup(tmp_path: Path) -> None:
    backbone = next(backbones()).model_copy(update={"name": "<script>alert(1)</script>"})
    text = page(tmp_path, [classify_result(backbone, 0, 0.9), *mini_results()])
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_protocol_is_its_file_while_that_still_says_what_was_run() -> None:
    protocol = load_protocol("retrain-mini")
    result = classify_result(next(backbones()), 0, 0.9, protocol_version=protocol.version)
    same = result.model_copy(update={"details": {"recipe": protocol.recipe_dict}})
    (entry,) = protocol_texts([same])
    assert entry.text == protocol.path.read_text(encoding="utf-8")
    changed = result.model_copy(update={"details": {"recipe": {**protocol.recipe_dict, "epochs": 12345}}})
    (entry,) = protocol_texts([changed])
    assert "epochs: 12345" in entry.text
    (entry,) = protocol_texts([result])
    assert "do not hold" in entry.text


def test_a_run_without_results_gives_a_page(tmp_path: Path) -> None:
    assert "Not enough results" in page(tmp_path, [])


def test_mixed_protocols_are_shown_and_marked_not_refused(tmp_path: Path) -> None:
    other = classify_result(next(backbones()), 0, 0.5, protocol_hash="other0000000")
    text = page(tmp_path, [*mini_results(), other])
    assert "Mixed protocols, not comparable" in text
    assert "Some columns mix protocols" in text


def test_the_summary_claims_nothing_from_single_runs() -> None:
    results = mini_results()
    said = " ".join(sentences(Measurements(results)))
    assert "no cell can be told from random cells: an interval needs 3 random cells, and two training seeds" in said
    assert "95 % interval" not in said
    assert next(tiles(Measurements(results), results)).hint == "n = 1: nothing can be told apart"


def test_the_summary_says_when_the_data_do_not_separate_the_cells_and_what_would() -> None:
    results = with_seeds(spread=0.02)
    said = " ".join(sentences(Measurements(results)))
    assert "the data do not separate any of the 4 cells from random cells" in said
    assert re.search(r"about \d+ random cells and as many searches or trainings would show it", said)
    assert next(tiles(Measurements(results), results)).value == "none"


def test_the_summary_names_a_winner_that_survives_the_adjustment() -> None:
    results = with_seeds(spread=0.02, better=("darts_v2", 1.6))
    said = " ".join(sentences(Measurements(results)))
    assert re.search(r"darts_v2 is \+[56]\d\.\d %", said)
    assert "adjusted for 4 cells" in said
    assert next(tiles(Measurements(results), results)).hint == "darts_v2"


def with_seeds(spread: float, better: tuple[str, float] = ("", 1.0)) -> list[Result]:
    """Three searches and three seeds of everything at about the same quality, ``better`` times as good for one."""
    results = []
    for result in mini_results(seeds=(0, 1, 2), search_seeds=(0, 1, 2)):
        factor = better[1] if result.backbone.name == better[0] else 1.0
        shift = random.Random(f"{result.backbone.name} {result.backbone.search_seed} {result.seed}").gauss(0, spread)
        value = 0.5 * factor * (1 + shift)
        metrics = {name: metric.model_copy(update={"value": value}) for name, metric in result.metrics.items()}
        results.append(result.model_copy(update={"metrics": metrics}))
    return results


def test_doubts_name_single_runs_few_random_cells_and_results_at_chance() -> None:
    said = " ".join(doubts(Measurements(mini_results())))
    assert "3 random cells" in said
    assert "trained once" in said
    assert "searched once" in said
    guess = classify_result(next(backbones()), 0, 0.11)
    assert "No better than twice the chance level: digits" in " ".join(doubts(Measurements([guess])))
    assert "trained once" not in " ".join(doubts(Measurements(mini_results(seeds=(0, 1)))))


def test_the_checklist_leaves_blank_what_the_records_do_not_tell() -> None:
    results = mini_results()
    answers = {item.question: item.answer for item in checklist(Measurements(results), results)}
    assert len(answers) == 16
    assert answers["Ablation studies"] == ""
    assert answers["Compared to random search"] == "yes"
    assert answers["Multiple runs, with the seeds reported"] == "no"
    no_random = [r for r in results if r.backbone.kind != "random"]
    answers = {item.question: item.answer for item in checklist(Measurements(no_random), no_random)}
    assert answers["Compared to random search"] == "no"


def test_the_power_note_pools_the_deviation_of_repeated_runs() -> None:
    table = power_table(Measurements(mini_results(seeds=(0, 1, 2))))
    assert table is not None
    row = next(
        r
        for r in table.rows()
        if r.cells["task"].text == "COCO" and r.cells["over"].text == "training seeds of one network"
    )
    half, full = row.cells["d0.005"].value, row.cells["d0.01"].value
    assert half is not None
    assert full is not None
    assert half > full > 2
    assert {r.cells["over"].text for r in table.rows()} == {"training seeds of one network", "random cells"}


def test_the_power_note_keeps_searches_and_trainings_apart_and_plans_with_the_upper_limit() -> None:
    table = power_table(Measurements(mini_results(seeds=(0, 1), search_seeds=(0, 1, 2))))
    assert table is not None
    rows = [r for r in table.rows() if r.cells["task"].text == "COCO"]
    assert [r.cells["over"].text for r in rows] == [
        "searches of one method", "training seeds of one network", "random cells",
    ]  # fmt: skip
    for r in rows:
        limit, runs = r.cells["limit"].value, r.cells["d0.02"].value
        assert limit is not None
        assert limit >= (r.cells["deviation"].value or 0.0)
        assert runs == (runs_to_detect(0.02, limit) or runs)


def test_pairs_on_the_same_queries_are_compared_where_scores_are_kept(tmp_path: Path) -> None:
    assert paired_table(tmp_path, Measurements(mini_results())) is None
    results = [
        r.model_copy(update={"details": {"per_item": {"mAP": [0.1 * i + shift for i in range(9)]}}})
        for r, shift in ((r, 0.1 if r.backbone.name == "darts_v2" else 0.0) for r in mini_results())
        if r.kind == "reid" and r.task == "msmt17" and r.backbone.kind == "published"
    ]
    table = paired_table(tmp_path, Measurements(results))
    assert table is not None
    (row,) = table.rows()
    assert row.cells["difference"].value == pytest.approx(0.1 if row.cells["a"].text == "darts_v2" else -0.1)
    assert row.cells["n"].value == 9


def test_entropy_is_one_for_an_even_choice_and_zero_for_a_decision() -> None:
    assert mean_entropy([[0.3, 0.3, 0.3]]) == pytest.approx(1)
    assert mean_entropy([[100.0, 0.0]]) == pytest.approx(0)
    assert mean_entropy([[1.0]]) == 0


def test_the_pareto_plot_has_a_point_for_every_network() -> None:
    figures = list(trade_offs(Measurements(mini_results())))
    assert len(figures) == 7
    assert all(figure.svg.count('class="dot') == 8 for figure in figures)


def test_points_lie_inside_the_frame_and_single_values_do_not_divide_by_zero() -> None:
    text = scatter([Dot(5.0, 0.5, "only", "searched")], ("x", "y"))
    assert "nan" not in text
    x = Scale.over([1e6, 1e9], 0, 100, log=True)
    assert 0 < x(1e6) < x(1e7) < x(1e9) < 100
    assert x.ticks() == [1e6, 1e7, 1e8, 1e9]
    assert Scale.over([0.0, 1.0], 0, 100).ticks() == pytest.approx([0, 0.5, 1.0])


def test_durations_are_for_people() -> None:
    assert [seconds(s) for s in (0.1, 45, 300, 12_000, 300_000)] == ["0.1 s", "45 s", "5.0 min", "3.3 h", "3.5 days"]


def test_one_cell_alone_is_not_called_the_best() -> None:
    alone = [result for result in mini_results() if result.backbone.name == "darts_v2"]
    said = " ".join(sentences(Measurements(alone)))
    assert "Fewer than two cells" in said
    assert "also has the highest" not in said
