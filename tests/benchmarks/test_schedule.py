"""The order of jobs and the estimate of the time left."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.plan import Job, Plan
from benchmarks.schedule import Schedule
from benchmarks.suite import Suite
from benchmarks.yamlfile import Document


def _plan() -> Plan:
    """a -> b -> c is long, d is short and stands first."""
    jobs = (
        Job("d", "d", "short", "d", seconds=1),
        Job("a", "a", "kind-a", "a", seconds=5),
        Job("b", "b", "kind-b", "b", needs=("a",), seconds=5),
        Job("c", "c", "kind-b", "c", needs=("b",), seconds=5),
    )
    suite = Suite.model_validate({"name": "s", "backbones": ["x"]})
    return Plan(suite, Document(Path("s.yaml"), {}, {}), Path(), jobs)


def test_the_longest_chain_starts_first() -> None:
    schedule = Schedule(_plan(), (), ())
    first = schedule.next()
    assert first is not None
    assert first.key == "a"
    schedule.started(first)
    second = schedule.next()
    assert second is not None
    assert second.key == "d"


def test_what_needs_a_failed_job_is_blocked_and_the_rest_goes_on() -> None:
    plan = _plan()
    schedule = Schedule(plan, (), ())
    schedule.gave_up(plan.by_key["a"])
    assert [job.key for job in schedule.blocked] == ["b", "c"]
    assert schedule.next() is plan.by_key["d"]
    schedule.succeeded(plan.by_key["d"])
    assert schedule.finished


def test_the_time_left_is_the_longest_chain_or_the_work_over_the_slots() -> None:
    schedule = Schedule(_plan(), (), ())
    assert schedule.remaining(slots=1) == pytest.approx(16)
    assert schedule.remaining(slots=4) == pytest.approx(15)


def test_measured_jobs_and_progress_correct_the_estimate() -> None:
    plan = _plan()
    schedule = Schedule(plan, (), ())
    for key, seconds in (("d", 1.0), ("a", 5.0), ("b", 20.0)):
        schedule.started(plan.by_key[key])
        schedule.succeeded(plan.by_key[key], seconds)
    assert schedule.remaining(slots=1) == pytest.approx(20)
    schedule.started(plan.by_key["c"])
    schedule.progressed(plan.by_key["c"], 0.75)
    assert schedule.remaining(slots=1) == pytest.approx(5)


def test_a_job_that_another_run_left_may_start_again() -> None:
    plan = _plan()
    schedule = Schedule(plan, ("d",), ())
    schedule.taken(plan.by_key["a"])
    assert schedule.next() is None
    assert not schedule.finished
    schedule.released(plan.by_key["a"])
    assert schedule.next() is plan.by_key["a"]
