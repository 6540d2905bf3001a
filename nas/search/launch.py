"""Search on several devices of this machine from a program that is itself a single process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nas.launch import StartMethod, run_in_processes
from nas.progress import Report, silent
from nas.proxies import Proxy
from nas.search.execution import SearchExecution
from nas.search.methods import Method, get_method, method_names, register_method, search
from nas.search.outcome import SearchOutcome
from nas.search.recipe import SearchRecipe


def search_in_processes(
    method: str,
    load: Callable[[], Proxy],
    recipe: SearchRecipe | None = None,
    *,
    processes: int,
    seed: int,
    workdir: str | Path,
    report: Report = silent,
    execution: SearchExecution | None = None,
    protocol_hash: str | None = None,
    start_method: StartMethod = "spawn",
) -> SearchOutcome:
    """:func:`~nas.search.methods.search` on ``processes`` GPUs, or CPU processes; each batch is divided over them.

    ``load`` opens the data in each process and must be picklable, as ``functools.partial(load_proxy, "imagenet100",
    root=...)`` is. A registered method must be a function of a module that can be imported.
    """
    options = {
        "recipe": recipe,
        "seed": seed,
        "workdir": workdir,
        "execution": execution,
        "protocol_hash": protocol_hash,
    }
    work = partial(_search, get_method(method), load, options)
    return run_in_processes(work, processes=processes, report=report, start_method=start_method)


def _search(method: Method, load: Callable[[], Proxy], options: dict[str, Any], report: Report) -> SearchOutcome:
    if method.name not in method_names():
        register_method(method.name, method.run, method.defaults, method.summary)
    return search(method.name, load(), report=report, **options)
