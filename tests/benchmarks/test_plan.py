"""Plans: the graph of jobs, and keys that change with what decides a result and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.plan import Plan
from benchmarks.run import Options, prepare
from benchmarks.worker import training_seed
from nas.errors import NaswildError, UnknownName

ToySuite = Callable[..., Path]


def _plan(path: Path, **options: object) -> Plan:
    return prepare(str(path), Options(**options), path.parent / "run")


def _edit(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def _keys(plan: Plan) -> dict[str, str]:
    return {job.title: job.key for job in plan.jobs}


def test_what_a_job_needs_stands_before_it(toy_suite: ToySuite) -> None:
    plan = _plan(toy_suite())
    before: set[str] = set()
    for job in plan.jobs:
        assert before.issuperset(job.needs)
        before.add(job.key)


def test_every_backbone_is_trained_once_and_scored_for_every_option(toy_suite: ToySuite) -> None:
    titles = [job.title for job in _plan(toy_suite()).jobs]
    assert len(titles) == 1 + 3 + 3 * 2
    assert "toy-score number parts3 darts_v2" in titles


def test_scores_start_from_the_training_of_their_own_seed(toy_suite: ToySuite) -> None:
    plan = _plan(toy_suite(), seeds=(4, 7))
    trained = {(job.subject.name, job.seed): job.key for job in plan.jobs if job.kind == "toy-train"}
    for job in plan.jobs:
        if job.kind == "toy-score":
            assert job.upstream == trained[job.subject.name, job.seed]


def test_keys_are_the_same_in_another_process_and_another_folder(toy_suite: ToySuite) -> None:
    path = toy_suite()
    code = (
        "import sys; from benchmarks.run import *; from pathlib import Path\n"
        "for job in prepare(sys.argv[1], Options(), Path('elsewhere')).jobs: print(job.title, job.key, sep='\\t')"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, cwd=root)
    assert dict(line.split("\t") for line in done.stdout.splitlines()) == _keys(_plan(path))


def test_a_changed_protocol_changes_the_keys_downstream_only(toy_suite: ToySuite) -> None:
    before = _keys(_plan(toy_suite(steps=4)))
    after = _keys(_plan(toy_suite(steps=5)))
    assert before["make number"] == after["make number"]
    assert all(before[title] != after[title] for title in before if title != "make number")


def test_changed_data_changes_every_key(toy_suite: ToySuite) -> None:
    path = toy_suite()
    before = _keys(_plan(path))
    after = _keys(_plan(_edit(path, "seed: 5", "seed: 6")))
    assert not set(before.values()) & set(after.values())


def test_an_added_backbone_leaves_the_other_keys_alone(toy_suite: ToySuite) -> None:
    path = toy_suite()
    before = _keys(_plan(path))
    after = _keys(_plan(_edit(path, "  - darts_v2", "  - darts_v2\n  - darts_v1")))
    assert before.items() < after.items()


def test_a_cell_from_a_file_has_the_keys_of_the_same_cell_from_the_zoo(toy_suite: ToySuite, tmp_path: Path) -> None:
    from nas.genotype import Genotype

    path = toy_suite()
    before = _keys(_plan(path))["toy-train number darts_v2"]
    Genotype.load("darts_v2").save(tmp_path / "mine.json")
    assert _keys(_plan(_edit(path, "- darts_v2", "- mine.json")))["toy-train number mine"] == before


def test_the_same_cell_twice_is_refused(toy_suite: ToySuite) -> None:
    with pytest.raises(NaswildError, match="are the same job"):
        _plan(_edit(toy_suite(), "  - darts_v2", "  - darts_v2\n  - {zoo: darts_v2, name: again}"))


def test_only_takes_what_the_chosen_jobs_need(toy_suite: ToySuite) -> None:
    titles = [job.title for job in _plan(toy_suite(), only=("parts3 darts_v2",)).jobs]
    assert titles == ["make number", "toy-train number darts_v2", "toy-score number parts3 darts_v2"]


def test_only_with_a_misspelt_name_gives_near_matches(toy_suite: ToySuite) -> None:
    with pytest.raises(UnknownName, match="did you mean 'toy-score"):
        _plan(toy_suite(), only=("toy-scor-",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "task: toy-score",
            "task: toy-scroe",
            r"toy.yaml:9: tasks.1.task: unknown task 'toy-scroe'; did you mean 'toy-score'",
        ),
        ("parts: [1, 3]", "part: [1, 3]", r"toy.yaml:11: tasks.1.part: unknown key or option .* did you mean 'parts'"),
        (
            "parts: [1, 3]",
            "protcol: x",
            r"toy.yaml:11: tasks.1.protcol: unknown key or option .* did you mean 'protocol'",
        ),
        ("parts: [1, 3]", "parts: [one]", r"toy.yaml:11: tasks.1.parts: expected int, got 'one'"),
        ("- darts_v2", "- darts_v3", r"toy.yaml:4: backbones.0: unknown backbone 'darts_v3'; did you mean 'darts_v2'"),
        ("made: toy-number", "made: toy-numbr", r"toy.yaml:15: data.number: unknown data maker"),
        ("protocols: {toy: ", "protocols: {toys: ", r"no protocol for stage 'toy'"),
    ],
)
def test_what_a_suite_refers_to_is_checked_with_the_line(toy_suite: ToySuite, old: str, new: str, message: str) -> None:
    with pytest.raises(NaswildError, match=message):
        _plan(_edit(toy_suite(), old, new))


def test_planning_and_loading_need_no_torch(toy_suite: ToySuite) -> None:
    code = (
        "import sys; from benchmarks.run import *; from pathlib import Path; from benchmarks import rundir\n"
        "rundir.load_done(prepare(sys.argv[1], Options(), Path('elsewhere'))); print('torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(toy_suite())]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout == "False\n"


def test_versions_of_makers_are_those_of_the_code_that_makes() -> None:
    compose = pytest.importorskip("detection.compose")
    draw = pytest.importorskip("reid.draw")
    from benchmarks.datasets import maker_version

    assert maker_version("digits-coco") == compose.FORMAT
    assert maker_version("reid") == draw.DRAWING


def test_two_backbones_do_not_share_what_a_training_seed_draws_unless_told_to(tmp_path: Path) -> None:
    def seeds(common: bool) -> set[int]:
        text = "name: s\nbackbones: [darts_v1, darts_v2]\ntasks: [{task: classify, data: digits}]\nseeds: [0, 1]\n"
        text += f"protocols: {{retrain: retrain-mini}}\ncommon_seeds: {str(common).lower()}\n"
        path = tmp_path / "s.yaml"
        path.write_text(text)
        found = prepare(str(path), Options(), tmp_path / "run").jobs
        return {training_seed(job) for job in found}

    assert len(seeds(common=False)) == 4
    assert seeds(common=True) == {0, 1}
