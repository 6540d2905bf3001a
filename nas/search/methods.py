"""The search methods by name, open to others, and :func:`search`, which runs one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from nas.checkpoint import remove_checkpoint
from nas.errors import NaswildError, unknown
from nas.progress import Report, silent
from nas.proxies import Proxy
from nas.search.execution import SearchExecution
from nas.search.journal import CHECKPOINT_FILE, require_same
from nas.search.outcome import SearchOutcome
from nas.search.published import add_recipe, complete, published_recipe, require_method
from nas.search.recipe import SearchRecipe
from nas.search.task import SearchTask
from nas.search.team import Team

Run = Callable[[SearchTask], SearchOutcome]
OUTCOME_FILE = "search.json"


@dataclass(frozen=True)
class Method:
    """A search method: what it is in a few words, the published recipe, and the function that runs it."""

    name: str
    summary: str
    defaults: SearchRecipe
    run: Run


# name -> module, its function, a summary; the module is imported when the method is asked for.
_BUILT_IN = {
    "pdarts": ("pdarts", "search_pdarts", "P-DARTS: progressive stages, regularised skip-connects"),
    "darts": ("darts", "search_darts", "DARTS, first order"),
    "darts2": ("darts", "search_darts2", "DARTS, second order"),
    "pcdarts": ("pcdarts", "search_pcdarts", "PC-DARTS: partial channels, edge normalisation"),
    "snas": ("sampled", "search_snas", "SNAS: sampled architectures, one level"),
    "gdas": ("sampled", "search_gdas", "GDAS: sampled single operations, two levels"),
    "random": ("random", "search_random", "a random cell of the same space"),
}
_REGISTERED: dict[str, Method] = {}


def register_method(name: str, run: Run, defaults: SearchRecipe, summary: str = "") -> Method:
    """Make a search method known by ``name``; ``run`` turns a :class:`SearchTask` into a :class:`SearchOutcome`."""
    if name in _BUILT_IN or name in _REGISTERED:
        raise NaswildError(f"a search method {name!r} exists already; register yours under another name")
    add_recipe(name, defaults)
    _REGISTERED[name] = Method(name, summary, defaults, run)
    return _REGISTERED[name]


def method_names() -> list[str]:
    """Every known method."""
    return [*_BUILT_IN, *_REGISTERED]


def get_method(name: str) -> Method:
    """The method called ``name``; raises ``UnknownName`` with near matches."""
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in _BUILT_IN:
        raise unknown("search method", name, method_names())
    home, function, summary = _BUILT_IN[name]
    module = import_module(f"nas.search.{home}")
    return Method(name, summary, published_recipe(name), getattr(module, function))


def search(
    method: str,
    proxy: Proxy,
    recipe: SearchRecipe | None = None,
    *,
    seed: int,
    workdir: str | Path,
    report: Report = silent,
    execution: SearchExecution | None = None,
    protocol_hash: str | None = None,
) -> SearchOutcome:
    """Search for a cell on ``proxy``.

    An interrupted search resumes from the checkpoint in ``workdir`` and ends with the same genotype and
    architecture weights, bit for bit on a CPU; one that has finished is read from ``workdir/search.json``. Started by
    ``torchrun``, it spans the processes it finds and returns the same outcome in each of them.

    Args:
        method: A name of :func:`method_names`.
        proxy: The data, from :func:`nas.proxies.load_proxy`.
        recipe: The hyper-parameters that it was given lie over the method's published ones; None: those alone.
        seed: Decides everything random.
        workdir: Holds the checkpoint and the outcome.
        report: Called after every step.
        execution: Device, parts of a batch, time between two checkpoints.
        protocol_hash: Noted in the outcome.

    Raises:
        NaswildError: Unknown method, a recipe that does not fit, a work directory of another search, divergence.
    """
    chosen, execution = get_method(method), execution or SearchExecution()
    recipe = complete(method, recipe)
    require_method(method, recipe)
    team = Team.connect(execution)
    task = SearchTask(
        method=method,
        proxy=proxy,
        recipe=recipe,
        seed=seed,
        workdir=Path(workdir),
        report=report,
        team=team,
        execution=execution,
        protocol_hash=protocol_hash,
    )
    path = task.workdir / OUTCOME_FILE
    finished = path.exists()
    team.wait()  # no process writes the file before all have checked
    if finished:
        return _stored(path, task)
    outcome = team.share(chosen.run(task))
    if team.leads:
        task.workdir.mkdir(parents=True, exist_ok=True)
        outcome.save(path)
        remove_checkpoint(task.workdir / CHECKPOINT_FILE)
    team.wait()
    return outcome


def _stored(path: Path, task: SearchTask) -> SearchOutcome:
    outcome = SearchOutcome.load(path)
    require_same(path, outcome.identity, task.identity)
    return outcome
