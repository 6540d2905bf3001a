"""The local engine: runs jobs as processes of this machine, a fixed number at a time.

The processes are forked from a server process that has the heavy libraries imported, so a job starts in milliseconds
and a crash of one touches no other. The other engine, for clusters, is :mod:`benchmarks.ray_engine`.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]  # unknown to typeshed
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from benchmarks.own_packages import in_own_folder
from benchmarks.plan import Job
from benchmarks.provenance import graphics_cards, processors
from benchmarks.worker import Message, RunContext, run_in_child
from nas.errors import NaswildError

THREADS = 1  # of arithmetic in one job; more would change the last bits of results
# Libraries that read their number of threads from the environment, once, when they are loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: ``kind`` is one of :class:`benchmarks.worker.Message`, or "died"."""

    job: Job
    message: Message


class Engine(Protocol):
    """What :func:`benchmarks.run.run_plan` asks of an engine."""

    slots: int  # jobs at once; a job of N processes counts as N

    @property
    def free(self) -> int:
        """How many more jobs may be started now."""

    def start(self, job: Job) -> None:
        """Begin a job."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The value of ``function(*arguments)``, computed where jobs run."""

    def events(self, timeout: float) -> list[Event]:
        """What has happened since the last call; waits up to ``timeout`` seconds for something to happen."""

    def close(self) -> None:
        """Stop whatever is running; jobs resume from their checkpoints in the next run."""


def default_slots() -> int:
    """One per GPU, or one per CPU core without GPUs."""
    return len(visible_devices()) or len(processors())


def visible_devices() -> list[str]:
    """The CUDA devices that jobs may be given, as CUDA_VISIBLE_DEVICES names them."""
    restricted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if restricted is not None:
        return [device.strip() for device in restricted.split(",") if device.strip() not in ("", "-1")]
    return [str(index) for index in range(len(graphics_cards()))]


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    channel: Connection
    lifeline: Connection  # our end; when we die the system closes it and the job ends itself
    devices: str | None  # as CUDA_VISIBLE_DEVICES names them


class LocalEngine(Engine):
    """Runs up to ``slots`` jobs at once; each on its own GPU if there are any.

    A job of N processes counts as N jobs and gets N GPUs. With fewer slots it runs alone.
    """

    def __init__(self, context: RunContext, slots: int, preload: Iterable[str] = ()) -> None:
        for variable in _THREAD_VARIABLES:
            os.environ[variable] = str(THREADS)
        self._context = context
        self.slots = slots
        self._devices = visible_devices()
        self._running: list[_Running] = []
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["benchmarks.worker", *preload])
        with in_own_folder():
            forkserver.ensure_running()

    @property
    def free(self) -> int:
        """How many more jobs may be started now."""
        return max(0, self.slots - sum(running.job.processes for running in self._running))

    def start(self, job: Job) -> None:
        """Fork a process for ``job``."""
        channel, theirs = self._processes.Pipe(duplex=False)
        their_lifeline, lifeline = self._processes.Pipe(duplex=False)
        devices = self._free_devices(job.processes)
        process = self._processes.Process(
            target=run_in_child, args=(job, self._context, theirs, their_lifeline, devices, THREADS), name=job.name
        )
        process.start()
        theirs.close()
        their_lifeline.close()
        self._running.append(_Running(job, process, channel, lifeline, devices))

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The value of ``function(*arguments)``, or the error it raises, computed in a process of its own."""
        ours, theirs = self._processes.Pipe(duplex=False)
        process = self._processes.Process(target=_answer, args=(theirs, self._context.folder, function, arguments))
        process.start()
        theirs.close()
        try:
            value, error = ours.recv()
        except EOFError:
            process.join()
            raise lost_call(function, _cause(process.exitcode)) from None
        finally:
            process.kill()
            process.join()
        if error is not None:
            raise error
        return value

    def events(self, timeout: float) -> list[Event]:
        """Messages of the running jobs and the deaths of their processes, in order."""
        channels = [running.channel for running in self._running]
        if not channels:
            time.sleep(timeout)
            return []
        told = wait(channels, timeout)
        ready = [running for running in self._running if running.channel in told]
        return [event for running in ready for event in self._receive(running)]

    def close(self) -> None:
        """Kill what is running: checkpoints are written atomically, so this is safe at any moment."""
        for running in self._running:
            running.process.kill()
        for running in list(self._running):
            self._reap(running)

    def _free_devices(self, count: int) -> str | None:
        """The ``count`` GPUs with the fewest jobs."""
        if not self._devices:
            return None
        taken = [device for running in self._running for device in (running.devices or "").split(",")]
        return ",".join(sorted(self._devices, key=taken.count)[:count])

    def _receive(self, running: _Running) -> list[Event]:
        """Read all messages of a job; a channel that closes without a result means the process died."""
        events = []
        try:
            while running.channel.poll():
                message: Message = running.channel.recv()
                events.append(Event(running.job, message))
                if message.kind != "progress":
                    self._reap(running)
                    return events
        except (EOFError, ConnectionError):
            self._reap(running)
            events.append(Event(running.job, Message("died", text=_cause(running.process.exitcode))))
        return events

    def _reap(self, running: _Running) -> None:
        running.process.join()
        running.channel.close()
        running.lifeline.close()
        self._running.remove(running)


def lost_call(function: Callable[..., Any], cause: str) -> NaswildError:
    """The error for a call whose process returned nothing."""
    name = f"{function.__module__}.{function.__qualname__}" if hasattr(function, "__qualname__") else repr(function)
    return NaswildError(f"{name} got no result from its process: {cause}")


def _answer(channel: Connection, folder: Path | None, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if folder is not None:
        os.chdir(folder)
    try:
        channel.send((function(*arguments), None))
    except Exception as error:  # noqa: BLE001 - raised again by the caller
        channel.send((None, _portable(error)))


def _portable(error: Exception) -> Any:
    """``error`` with its traceback as text, for another process; its name and message where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an error of a library may fail to pickle in any way
        error = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    return ExceptionWithTraceback(error, error.__traceback__)


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        hint = "; out of memory?" if exitcode == -9 else ""
        return f"its process was killed by signal {-exitcode}{hint}"
    return f"its process ended with exit code {exitcode}"
