"""Running a suite: resuming, failing, sharing a run directory. The jobs are the toys of :mod:`tests.benchmarks.toy`."""

from __future__ import annotations

import io
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import rundir
from benchmarks.items import load_items, load_resampled
from benchmarks.run import Options, Summary, prepare, run_plan
from benchmarks.store import load_results, results_dir

ToySuite = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def _run(path: Path, folder: str = "run", **options: object) -> tuple[Summary, str]:
    """Run the suite here; the summary and what was printed."""
    screen = io.StringIO()
    chosen = Options(slots=2, **options)
    summary = run_plan(prepare(str(path), chosen, path.parent / folder), chosen, Console(file=screen, width=200))
    return summary, screen.getvalue()


def _start(path: Path, folder: str = "run", only: str = "") -> subprocess.Popen[str]:
    """Run the suite in a process of its own."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom rich.console import Console\n"
        "from benchmarks.run import Options, prepare, run_plan\n"
        "options = Options(slots=2, only=tuple(sys.argv[3:]))\n"
        "run_plan(prepare(sys.argv[1], options, Path(sys.argv[2])), options, Console())"
    )
    command = [sys.executable, "-c", code, str(path), str(path.parent / folder), *only.split()]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _numbers(run_dir: Path) -> dict[str, dict]:
    return {result.key: result.model_dump()["metrics"] for result in load_results(run_dir)}


def _nobody_works(run_dir: Path, plan_of: Path) -> bool:
    plan = prepare(str(plan_of), Options(), run_dir)
    return not any(rundir.is_locked(run_dir, job) for job in plan.jobs)


def test_the_second_run_loads_everything(toy_suite: ToySuite) -> None:
    path = toy_suite()
    first, printed = _run(path)
    assert (first.loaded, first.ran, first.failed) == (0, 10, [])
    assert "10/10" in printed
    written = {file: file.stat().st_mtime_ns for file in results_dir(path.parent / "run").iterdir()}
    second, _ = _run(path)
    assert (second.loaded, second.ran) == (10, 0)
    assert second.results == first.results
    assert written == {file: file.stat().st_mtime_ns for file in results_dir(path.parent / "run").iterdir()}


def test_killed_at_random_moments_it_ends_with_the_same_numbers(toy_suite: ToySuite) -> None:
    path = toy_suite(steps=40, sleep=0.05)
    _run(path, "uninterrupted", only=("darts_v2",))
    moments = random.Random(0)
    kills = 0
    while True:
        process = _start(path, "killed", only="darts_v2")
        try:
            process.wait(timeout=moments.uniform(0.8, 1.6) + 0.3 * kills)  # longer each time, so that it ends
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            time.sleep(0.3)
            assert _nobody_works(path.parent / "killed", path), "a job has outlived its run"
            continue
        break
    assert process.returncode == 0
    assert kills >= 2
    assert _numbers(path.parent / "killed") == _numbers(path.parent / "uninterrupted")


def test_a_failed_job_stops_only_what_needs_it_and_says_how_to_rerun(toy_suite: ToySuite) -> None:
    summary, printed = _run(toy_suite(fail="darts_v2"))
    assert [job.title for job, _ in summary.failed] == ["toy-train number darts_v2"]
    assert {job.title for job in summary.blocked} == {f"toy-score number parts{n} darts_v2" for n in (1, 3)}
    assert len(summary.results) == 6
    assert "told to fail" in printed
    assert f"--only {summary.failed[0][0].name} --overwrite failed" in printed


def test_a_failed_job_is_shown_again_and_tried_again_only_when_asked(toy_suite: ToySuite) -> None:
    path = toy_suite(fail="darts_v2")
    _run(path)
    again, printed = _run(path)
    assert (again.ran, len(again.failed)) == (0, 1)
    assert "told to fail" in printed
    log = rundir.log_path(path.parent / "run", again.failed[0][0])
    assert log.read_text().count("---") == 1
    _run(path, overwrite="failed")
    assert log.read_text().count("---") == 2


def test_a_job_whose_process_dies_is_resumed_by_the_next_run(toy_suite: ToySuite) -> None:
    path = toy_suite(fail="kill:toy-train-number-darts_v2-s0")
    summary, printed = _run(path)
    assert [job.title for job, _ in summary.failed] == ["toy-train number darts_v2"]
    assert "killed by signal 9" in printed
    again, _ = _run(path)  # the toy kills itself only in its first attempt
    assert (again.ran, again.failed) == (3, [])


def test_two_runs_at_once_share_the_work(toy_suite: ToySuite) -> None:
    path = toy_suite(steps=10, sleep=0.02)
    processes = [_start(path) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    plan = prepare(str(path), Options(), path.parent / "run")
    for job in plan.jobs:
        assert rundir.log_path(plan.run_dir, job).read_text().count("--- done") == 1


def test_overwrite_always_starts_anew(toy_suite: ToySuite) -> None:
    path = toy_suite()
    _run(path)
    again, _ = _run(path, overwrite="always", only=("toy-train number darts_v2",))
    assert again.ran == 2  # the data and the training


def test_a_damaged_result_and_a_lost_weights_file_are_made_again(
    toy_suite: ToySuite, caplog: pytest.LogCaptureFixture
) -> None:
    path = toy_suite()
    first, _ = _run(path)
    run_dir = path.parent / "run"
    before = _numbers(run_dir)
    (results_dir(run_dir) / f"{first.results[-1].job}.json").write_text("{")
    (run_dir / first.results[0].artifacts["weights"]).unlink()
    again, _ = _run(path)
    assert again.ran == 2
    assert "not a valid result" in caplog.text
    assert "is gone" in caplog.text
    assert _numbers(run_dir) == before


def test_scores_of_items_and_on_drawn_sets_are_kept_beside_the_results(toy_suite: ToySuite) -> None:
    path = toy_suite()
    done, _ = _run(path)
    run_dir = path.parent / "run"
    for result in done.results:
        value = result.metrics["score"].value
        if result.kind == "toy-train":
            assert load_items(run_dir, result, "score") == pytest.approx([value] * 4)
        else:
            kept = load_resampled(run_dir, result, "score")
            assert kept is not None
            assert (kept.items, kept.sets) == (4, 1)
            assert list(kept.values["score"]) == [value] * 8


def test_interrupting_stops_the_jobs(toy_suite: ToySuite) -> None:
    path = toy_suite(steps=200, sleep=0.05)
    process = _start(path)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert _nobody_works(path.parent / "run", path)
