"""The Ray engine: the jobs of a run as tasks of a Ray cluster, or of an instance that it starts on this machine.

One job is one Ray task. The task runs the job as the local engine does, in a process of its own on the machine where
Ray put it, and hands on what the job tells. So a crash touches no other job, and a cancelled task takes its job with
it. The run directory is the store of all machines, which therefore share its file system; relative paths start from
the folder that the run was started in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.engine import Engine, Event, LocalEngine, lost_call
from benchmarks.own_packages import in_own_folder
from benchmarks.plan import Job
from benchmarks.worker import Message, RunContext
from nas.errors import NaswildError, require

END_SECONDS = 10.0  # how long cancelled tasks are waited for
PARTS = 10_000  # Ray counts resources in ten-thousandths
# For an instance started here: nothing is sent to anyone, and jobs are as urgent as the local engine's are.
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}


class RayEngine(Engine):
    """Runs up to ``slots`` jobs at once, by default one per GPU of the cluster, else one per CPU core.

    The cluster is the one that the variable RAY_ADDRESS names or that ``ray start`` opened on this machine; without
    either, Ray is started here and stopped by :meth:`close`. With more slots than GPUs, each job gets a share of one.
    """

    def __init__(self, context: RunContext, slots: int | None = None, preload: Iterable[str] = ()) -> None:
        self._ray = require("ray", "ray")
        # The machine and the versions are those of wherever a job runs, which finds them out itself.
        self._context = replace(context, machine="", versions=None, folder=Path.cwd())
        self._preload = ("__main__", *preload)  # of a Ray worker: its jobs would each import Ray again
        self._opened = _connect(self._ray)
        self._total = self._ray.cluster_resources()
        self.slots = slots or int(self._total.get("GPU", 0) or self._total.get("CPU", 1))
        self._running: dict[Any, Job] = {}  # by the stream of a task's messages

    @property
    def free(self) -> int:
        """How many more jobs may be started now."""
        return max(0, self.slots - sum(job.processes for job in self._running.values()))

    def start(self, job: Job) -> None:
        """Submit ``job``; Ray starts it when its share of the cluster is free. What dies is not tried again by Ray."""
        work = self._ray.remote(_work).options(
            num_returns="streaming", max_retries=0, name=job.name, **self._share(job.processes)
        )
        self._running[work.remote(job, self._context, self._preload)] = job

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The value of ``function(*arguments)``, or the error it raises, computed on a machine of the cluster."""
        task = self._ray.remote(_call).options(num_cpus=0, max_retries=0)
        try:
            value, error = self._ray.get(task.remote(self._context, self._preload, function, arguments))
        except self._ray.exceptions.RayError as lost:
            raise lost_call(function, _cause(lost)) from lost
        if error is not None:
            raise error
        return value

    def events(self, timeout: float) -> list[Event]:
        """A message of each job that has one, and the deaths of tasks; waits up to ``timeout`` seconds for one."""
        streams = list(self._running)
        if not streams:
            time.sleep(timeout)
            return []
        self._ray.wait(streams, num_returns=1, timeout=timeout)
        ready, _ = self._ray.wait(streams, num_returns=len(streams), timeout=0)
        return [self._receive(stream) for stream in ready]

    def close(self) -> None:
        """Cancel what is running, wait until it has ended, and stop Ray if it was started here."""
        streams = list(self._running)
        for stream in streams:
            self._ray.cancel(stream, force=True)
        if streams:
            self._ray.wait(streams, num_returns=len(streams), timeout=END_SECONDS)
        self._running.clear()
        if self._opened:
            self._ray.shutdown()

    def _receive(self, stream: Any) -> Event:
        job = self._running[stream]
        try:
            message: Message = self._ray.get(next(stream))
        except self._ray.exceptions.RayError as lost:
            message = Message("died", text=_cause(lost))
        if message.kind != "progress":
            del self._running[stream]
        return Event(job, message)

    def _share(self, processes: int) -> dict[str, float]:
        """What a job requests of the cluster: GPUs if there are any, else CPUs."""
        kind, name = ("GPU", "num_gpus") if self._total.get("GPU") else ("CPU", "num_cpus")
        largest = max(node["Resources"].get(kind, 0) for node in self._ray.nodes() if node["Alive"])
        share = slot_share(self._total[kind], largest, self.slots, processes)
        return {"num_cpus": 0, name: share}


def slot_share(total: float, largest: float, slots: int, processes: int) -> float:
    """GPUs (or CPUs) of a job in a cluster with ``total`` of them, at most ``largest`` on one machine.

    One process gets its slot's part of the whole, never more than one GPU; several get one each, as far as a single
    machine has them.
    """
    if processes > 1:
        return float(min(processes, int(largest)))
    return int(min(1.0, total / slots) * PARTS) / PARTS


def _connect(ray: Any) -> bool:
    """Join a cluster or start an instance here; whether this process has opened the connection and so closes it."""
    if ray.is_initialized():
        return False
    for variable, value in SETTINGS.items():
        os.environ.setdefault(variable, value)
    try:
        with in_own_folder():  # which Ray has its workers import from first of all
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="WARNING")
    except ConnectionError as error:
        raise NaswildError(f"no Ray cluster responds at {os.environ.get('RAY_ADDRESS')}: {error}") from error
    return True


def _work(job: Job, context: RunContext, preload: tuple[str, ...]) -> Iterator[Message]:
    """A job's task: its messages, up to and including the final one."""
    engine = LocalEngine(context, job.processes, preload)
    engine.start(job)
    try:
        while engine.free < job.processes:
            for event in engine.events(timeout=1.0):
                yield event.message
    finally:
        engine.close()


def _call(
    context: RunContext, preload: tuple[str, ...], function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, Exception | None]:
    """A value and no error, or the other way round: Ray would wrap an error that a task raises."""
    engine = LocalEngine(context, 1, preload)
    try:
        return engine.call(function, *arguments), None
    except Exception as error:  # noqa: BLE001 - raised again where the run is
        return None, error


def _cause(lost: Exception) -> str:
    """Why Ray lost a task, in one line."""
    lines = str(lost).strip().splitlines()
    return f"Ray lost its task: {type(lost).__name__}" + (f": {lines[-1].strip()}" if lines else "")
