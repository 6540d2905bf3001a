"""Problems of a run, found before it starts: unknown names, missing extras, missing data."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.datasets import MISSING, explain_missing
from benchmarks.engine import Engine
from benchmarks.plan import DATA, Job
from benchmarks.tasks import Assignment, get_task
from benchmarks.tasks.registry import import_extensions
from benchmarks.worker import RunContext
from nas.errors import NaswildError


def require_nothing_missing(engine: Engine, jobs: Sequence[Job], context: RunContext) -> None:
    """Raise :class:`NaswildError` listing everything that the user has to fix first."""
    missing = engine.call(find_missing, jobs, context)
    if missing:
        raise NaswildError("\n".join(missing))


def find_missing(jobs: Sequence[Job], context: RunContext) -> list[str]:
    """One sentence for each thing that is missing; imports the heavy libraries, so the parent asks a worker."""
    import_extensions(context.imports)
    found: dict[str, None] = {}
    for job in jobs:
        if job.kind == DATA or job.subject is None or job.data is None:
            continue
        if job.data.version == MISSING:
            found[explain_missing(job.data)] = None
            continue
        assignment = Assignment(
            job=job.name,
            subject=job.subject,
            recipe=job.protocol.recipe if job.protocol is not None else {},
            data=job.data,
            seed=job.seed,
            run_dir=context.run_dir,
            workdir=context.run_dir,
            options=job.options,
            processes=job.processes,
        )
        try:
            found.update(dict.fromkeys(get_task(job.kind).missing(assignment)))
        except NaswildError as error:
            found[str(error)] = None
    return list(found)
