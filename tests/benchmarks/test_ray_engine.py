"""The Ray engine on an instance of Ray on this machine. Where ray is not installed, what needs it is skipped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import ray_engine, rundir
from benchmarks.engine import Engine
from benchmarks.plan import Plan
from benchmarks.ray_engine import RayEngine, slot_share
from benchmarks.run import Options, Summary, prepare, run_plan
from benchmarks.store import load_results
from benchmarks.worker import RunContext
from nas.errors import MissingExtra, NaswildError, UnknownName

ToySuite = Callable[..., Path]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One instance for all tests of this file: the engine joins it and leaves it running."""
    ray = pytest.importorskip("ray")
    os.environ.update(ray_engine.SETTINGS)
    ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def engine(ray_here: None, tmp_path: Path) -> Iterator[Engine]:
    del ray_here
    engine = RayEngine(RunContext("toy", tmp_path / "run", ("tests.benchmarks.toy",)), slots=2)
    yield engine
    engine.close()


def _run(path: Path, folder: str = "run", **options: object) -> tuple[Summary, str]:
    screen = io.StringIO()
    chosen = Options(**{"slots": 2, "engine": "ray", **options})
    summary = run_plan(prepare(str(path), chosen, path.parent / folder), chosen, Console(file=screen, width=200))
    return summary, screen.getvalue()


def _numbers(run_dir: Path) -> dict[str, dict]:
    return {result.key: result.model_dump()["metrics"] for result in load_results(run_dir)}


def _wait_until_nobody_works(plan: Plan) -> None:
    end = time.monotonic() + 10
    while any(rundir.is_locked(plan.run_dir, job) for job in plan.jobs):
        assert time.monotonic() < end, "a job has outlived its run"
        time.sleep(0.1)


def _pair(first: int, second: int) -> tuple[int, int, bool]:
    return first, second, os.environ["OMP_NUM_THREADS"] == "1"


def _fail() -> None:
    raise UnknownName("unknown thing")


@pytest.mark.usefixtures("ray_here")
def test_it_leaves_the_numbers_that_the_local_engine_leaves_and_shares_its_store(toy_suite: ToySuite) -> None:
    path = toy_suite()
    first, printed = _run(path)
    assert (first.loaded, first.ran, first.failed) == (0, 10, [])
    assert "10/10" in printed
    here, _ = _run(path, engine="local")
    assert (here.loaded, here.ran) == (10, 0)
    _run(path, "local", engine="local")
    assert _numbers(path.parent / "run") == _numbers(path.parent / "local")
    assert all(result.provenance.machine and result.provenance.versions for result in first.results)


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize(("fail", "word"), [("{}", "told to fail"), ("kill:toy-train-number-{}-s0", "by signal 9")])
def test_a_job_that_fails_or_is_killed_stops_only_what_needs_it(toy_suite: ToySuite, fail: str, word: str) -> None:
    summary, printed = _run(toy_suite(fail=fail.format("darts_v2")))
    assert [job.title for job, _ in summary.failed] == ["toy-train number darts_v2"]
    assert (len(summary.results), len(summary.blocked)) == (6, 2)
    assert word in printed


@pytest.mark.usefixtures("ray_here")
def test_relative_paths_start_where_the_run_was_started(toy_suite: ToySuite, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy_suite()
    monkeypatch.chdir(path.parent)
    options = Options(slots=2, engine="ray", only=("toy-train number darts_v2",))
    summary = run_plan(prepare(path.name, options, Path("here")), options, Console(file=io.StringIO()))
    assert summary.ran == 2
    assert len(load_results(path.parent / "here")) == 1


def test_no_more_jobs_run_at_once_than_there_are_slots(engine: Engine, toy_suite: ToySuite) -> None:
    plan = prepare(str(toy_suite(steps=20, sleep=0.05)), Options(), toy_suite().parent / "run")
    data, *training = [job for job in plan.jobs if job.kind in ("data", "toy-train")]
    engine.start(data)
    while engine.free < 2:
        engine.events(timeout=0.5)
    running, most = set(), 0
    while training or running:
        while engine.free and training:
            job = training.pop()
            running.add(job.key)
            engine.start(job)
        most = max(most, len(running))
        for event in engine.events(timeout=0.5):
            assert event.message.kind in ("progress", "done"), event.message
            running -= {event.job.key} if event.message.kind == "done" else set()
    assert most == 2


def test_closing_cancels_what_runs(engine: Engine, toy_suite: ToySuite) -> None:
    path = toy_suite(steps=400, sleep=0.05)
    plan = prepare(str(path), Options(), path.parent / "run")
    engine.start(plan.jobs[0])
    while engine.free < 2:
        engine.events(timeout=0.5)
    engine.start(plan.jobs[1])
    while not engine.events(timeout=0.5):
        assert not rundir.is_done(plan.run_dir, plan.jobs[1])
    engine.close()
    assert engine.free == 2
    _wait_until_nobody_works(plan)
    assert not rundir.is_done(plan.run_dir, plan.jobs[1])


def test_a_call_runs_elsewhere_and_raises_what_the_function_raised(engine: Engine) -> None:
    assert engine.call(_pair, 1, 2) == (1, 2, True)
    with pytest.raises(UnknownName, match="unknown thing"):
        engine.call(_fail)
    with pytest.raises(NaswildError, match=r"^posix._exit got no result .*exit code 3$"):
        engine.call(os._exit, 3)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_job_behind_and_goes_on(toy_suite: ToySuite, how: signal.Signals) -> None:
    pytest.importorskip("ray")
    path = toy_suite(steps=60, sleep=0.05)
    plan = prepare(str(path), Options(), path.parent / "run")
    command = [
        sys.executable,
        "-c",
        "from benchmarks.cli import main; main()",
        "run",
        str(path),
        "--run-dir",
        str(plan.run_dir),
    ]
    command += ["--engine", "ray", "--slots", "2", "--only", "toy-train number darts_v2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    job = next(job for job in plan.jobs if job.title == "toy-train number darts_v2")
    while not (rundir.workdir(plan.run_dir, job) / "checkpoint.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(how)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert how == signal.SIGKILL or "--engine ray" in printed
    _wait_until_nobody_works(plan)
    again, _ = _run(path, engine="local", only=("toy-train number darts_v2",))
    assert (again.loaded, again.ran) == (1, 1)
    log = rundir.log_path(plan.run_dir, job).read_text()
    assert log.count("---") == 3  # begun, begun again, done


@pytest.mark.parametrize(
    ("total", "largest", "slots", "processes", "share"),
    [
        (8, 4, 8, 1, 1.0),  # a GPU for each slot
        (8, 4, 2, 1, 1.0),  # never more than one
        (2, 2, 4, 1, 0.5),  # two jobs on a GPU
        (1, 1, 3, 1, 0.3333),  # rounded down, so that three fit
        (8, 4, 8, 4, 4.0),  # a GPU for each process of a job
        (8, 4, 8, 6, 4.0),  # of one machine
    ],
)
def test_a_slots_share_of_the_cards(total: float, largest: float, slots: int, processes: int, share: float) -> None:
    assert slot_share(total, largest, slots, processes) == share


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"naswild\[ray\]"):
        ray_engine.RayEngine(RunContext("toy", tmp_path))
