"""``--dry-run``: estimates of GPU memory, with their source, and what does not fit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import memory
from benchmarks.dryrun import show_plan
from benchmarks.engine import LocalEngine
from benchmarks.preflight import find_missing
from benchmarks.protocol import load_protocol
from benchmarks.published import number, published_table
from benchmarks.run import Options, prepare
from benchmarks.store import Result

MakeResult = Callable[..., Result]


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What ``--dry-run`` prints for a suite, on a machine with the cards given."""

    def dry_run(suite: str, *cards: memory.Card, **options: object) -> str:
        screen = io.StringIO()
        chosen = Options(slots=1, **options)
        plan = prepare(suite, chosen, tmp_path / "run")
        answers = {memory.cards: list(cards), find_missing: []}
        monkeypatch.setattr(LocalEngine, "call", lambda *arguments: answers[arguments[1]])
        show_plan(plan, chosen, Console(file=screen, width=160))
        return screen.getvalue()

    return dry_run


def _row(text: str, title: str) -> str:
    return next(line for line in text.splitlines() if title in line)


def test_a_published_peak_is_shown_with_its_source_and_the_rest_as_unknown(printed: Callable[..., str]) -> None:
    text = printed("paper-table1")
    assert _row(text, "search P-DARTS (searched on CIFAR10)").rstrip().endswith("14.5 GB")
    assert _row(text, "search random-0").rstrip().endswith("none")
    assert _row(text, "classify cifar10 darts_v2").rstrip().endswith("unknown")
    assert "GPU memory of search-cifar10: 14.5 GB (P-DARTS, Table 2" in text
    assert "GPU memory of retrain-cifar10: unknown, not measured" in text
    assert "GPUs: none" in text
    assert "missing" not in text.replace("nothing is missing", "")


def test_a_card_that_is_too_small_is_missing_memory(printed: Callable[..., str]) -> None:
    small = memory.Card("Small", 8.0)
    text = "perhaps missing: 14.5 GB of GPU memory for search-cifar10, the largest GPU has 8.0 GB"
    assert text in printed("paper-table2", small)
    assert "perhaps" not in printed("paper-table2", small, memory.Card("Large", 16.0))


def test_processes_are_shown_and_what_fewer_cards_make_of_them(printed: Callable[..., str]) -> None:
    text = printed("paper-table4", *[memory.Card("Card", 80.0)] * 4)
    assert _row(text, "detect coco SSD320 DARTS").split()[-2:] == ["8", "unknown"]
    assert "jobs in 8 processes: 4 here, with the same batch (4 GPUs found)" in text
    assert "4 here" not in printed("paper-table4", *[memory.Card("Card", 80.0)] * 8)


def test_the_stated_peak_is_the_largest_of_the_papers_table_2() -> None:
    rows = published_table("table2").rows
    peaks = [number(value) or 0.0 for row in rows for column, value in row.items() if column.startswith("stage")]
    stated = load_protocol("search-cifar10").gpu_memory
    assert stated is not None
    assert stated.gb == max(peaks)


def test_memory_does_not_change_the_hash_of_a_protocol(tmp_path: Path) -> None:
    base = "name: x\nversion: 1\nstage: s\nsource: none\nrecipe: {a: 1}\n"
    for name, extra in (("plain", ""), ("stated", "gpu_memory: {gb: 3, source: measured}\n")):
        (tmp_path / f"{name}.yaml").write_text(base + extra)
    plain, stated = (load_protocol(str(tmp_path / f"{name}.yaml")) for name in ("plain", "stated"))
    assert plain.hash == stated.hash


def test_a_peak_measured_on_a_card_counts_and_that_of_a_processor_does_not(make_result: MakeResult) -> None:
    result = make_result()
    on_card = result.cost.model_copy(update={"device": "NVIDIA X", "peak_memory_bytes": 5_000_000_000})
    larger = on_card.model_copy(update={"peak_memory_bytes": 6_000_000_000})
    on_processor = on_card.model_copy(update={"device": "cpu, 1 thread(s)", "peak_memory_bytes": 9_000_000_000})
    costs = [result.cost, on_card, larger, on_processor]
    found = memory.measured([None, *(result.model_copy(update={"cost": cost}) for cost in costs)])
    assert [(sort, peak.gb) for sort, peak in found.items()] == [(("classify", "cafe"), 6.0)]
    assert "NVIDIA X" in found["classify", "cafe"].source
