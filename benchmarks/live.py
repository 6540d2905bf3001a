"""What a user sees while a suite runs: bars on a terminal, a line for each finished job anywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.plan import Job
from benchmarks.store import Metric, Result
from nas.progress import Progress as JobProgress


class Display:
    """Shows a run; use as a context manager. ``total`` is the number of jobs of the plan, ``done`` those loaded."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self._console = console
        self._total = total
        self._done = done
        self._left = ""
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._overall = self._progress.add_task("all jobs", total=total, completed=done, state="loading libraries")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, job: Job) -> None:
        """A job's bar appears."""
        self._bars[job.key] = self._progress.add_task(escape(job.title), total=1.0, state="starting")

    def progressed(self, job: Job, progress: JobProgress) -> None:
        """A job's bar moves."""
        values = "  ".join(f"{name} {value:.3g}" for name, value in list(progress.metrics.items())[:3])
        state = f"{progress.stage} {min(progress.epoch + 1, progress.epochs)}/{progress.epochs}  {values}"
        self._progress.update(self._bars[job.key], completed=progress.fraction, state=escape(state))

    def finished(self, job: Job, result: Result | None, seconds: float) -> None:
        """Replace a job's bar by a line with its result."""
        self._remove(job)
        self._done += 1
        values = headline(result.metrics) if result is not None else ""
        self._line(f"[green]done[/]    {escape(job.title)}  {seconds:.1f} s  {values}")

    def failed(self, job: Job, message: str, tail: str, rerun: str) -> None:
        """Replace a job's bar by its error, the end of its log, and the command to run it again."""
        self._remove(job)
        self._line(f"[red]FAILED[/]  {escape(job.title)}: {escape(message)}")
        for line in tail.splitlines():
            self._console.print(f"    [dim]{escape(line)}[/]", highlight=False, soft_wrap=True)
        self._console.print(f"    run it again: [bold]{escape(rerun)}[/]", highlight=False, soft_wrap=True)

    def elsewhere(self, job: Job) -> None:
        """Another run has locked this job."""
        self._remove(job)
        self._line(f"waiting {escape(job.title)}: locked by another run")

    def remaining(self, seconds: float) -> None:
        """The estimate of the time left, kept up to date."""
        self._left = f"about {duration(seconds)} left" if seconds > 0 else ""
        self._progress.update(self._overall, completed=self._done, state=f"{self._done} of {self._total}  {self._left}")

    def _remove(self, job: Job) -> None:
        bar = self._bars.pop(job.key, None)
        if bar is not None:
            self._progress.remove_task(bar)

    def _line(self, text: str) -> None:
        left = "" if self._console.is_terminal or not self._left else f"  ({self._left})"
        width = len(str(self._total))
        count = f"{self._done:{width}}/{self._total}"
        self._console.print(f"[dim]{count}[/]  {text}[dim]{left}[/]", highlight=False, soft_wrap=True)


def headline(metrics: Mapping[str, Metric], count: int = 2) -> str:
    """The first metrics of a result, fractions as percent: ``"top1 93.4 %  top5 99.8 %"``."""
    parts = []
    for name, metric in list(metrics.items())[:count]:
        value = f"{100 * metric.value:.1f} %" if metric.unit == "fraction" else f"{metric.value:.4g} {metric.unit}"
        parts.append(f"{name} {value}")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """``"40 s"``, ``"5 min"``, ``"3.2 h"``, ``"2.1 days"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
