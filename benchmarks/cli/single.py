"""``naswild search`` and ``naswild retrain``: one stage for one backbone, by the same machinery as a suite."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.cli.options import Imports, RunDir, Seed, console
from benchmarks.cli.searched import describe

if TYPE_CHECKING:
    from benchmarks.store import Result

Source = Annotated[
    str, typer.Argument(help="A published cell, a genotype (file or text), or a timm model (timm:NAME, NAME).")
]
On = Annotated[str, typer.Option("--on", help="The data: digits, cifar10, ..., or a folder of class folders.")]
Root = Annotated[Path | None, typer.Option("--root", metavar="FOLDER", help="Where your copy of the data is.")]
Settings = Annotated[
    list[str] | None, typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the task or of the data.")
]


def search(
    method: Annotated[str, typer.Option("--method", help="pdarts, darts, darts2, pcdarts, snas, gdas, random, ...")],
    protocol: Annotated[str, typer.Option("--protocol", help="A search protocol, by name or path.")],
    on: Annotated[
        str, typer.Option("--proxy", help="The data: digits, cifar10, ..., or a folder of class folders.")
    ] = "digits",
    root: Root = None,
    seed: Seed = 0,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Processes that share the search, each on a GPU.")
    ] = 1,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Copy the genotype file here.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the trajectory here, as an SVG file.")
    ] = None,
    run_dir: RunDir = None,
    imports: Imports = None,
) -> None:
    """Search for a cell on a proxy and write a genotype file.

    Examples:

    \b
    naswild search --method pdarts --protocol search-mini --out cell.json
    naswild search --method pdarts --protocol search-cifar10 --proxy cifar10 --root ~/data --plot search.svg
    naswild search --method pdarts --protocol search-imagenet100 --proxy imagenet100 --root ~/imagenet --processes 8
    """
    entry = {"search": {"method": method, "on": on, "seeds": [seed], "processes": processes}}
    suite = {"name": "search", "backbones": [entry], "protocols": {"search": protocol}, "data": _proxy(on, root)}
    result, folder = run_one(suite, run_dir, imports)
    for line in describe(result, folder):
        typer.echo(line)
    if plot is not None:
        from benchmarks.report.trajectory import save_trajectory

        save_trajectory(result.details.get("stages", ()), plot)
        typer.echo(plot)
    _leave(folder / result.artifacts["genotype"], out)


def retrain(
    source: Source,
    protocol: Annotated[str, typer.Option("--protocol", help="A retraining protocol, by name or path.")],
    on: On = "digits",
    root: Root = None,
    options: Settings = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Copy the weights file here.")] = None,
    run_dir: RunDir = None,
    imports: Imports = None,
) -> None:
    """Train a backbone as a classification network and write a weights file that any task can start from.

    If the source is a weights file, its network is trained from scratch in the protocol's size.

    Options of the task: processes, accumulate, compile (1), workers, tensorboard (1). Of the data: corrupt (skip),
    subset_classes, subset_seed.

    Examples:

    \b
    naswild retrain darts_v2 --protocol retrain-mini --out darts_v2.safetensors
    naswild retrain timm:resnet18 --protocol retrain-cifar10 --on cifar10 --root ~/data
    naswild retrain darts_v2 --protocol retrain-imagenet --on imagenet --root ~/imagenet -o processes=4 -o accumulate=2
    """
    from benchmarks.tasks import get_task
    from benchmarks.tasks.proxy import OPTIONS
    from nas.errors import unknown

    given = settings(options)
    of_task = {name: value for name, value in given.items() if name in get_task("classify").options}
    of_data = {name: value for name, value in given.items() if name in OPTIONS}
    for name in given.keys() - of_task.keys() - of_data.keys():
        raise unknown("option", name, [*get_task("classify").options, *OPTIONS])
    suite = {
        "name": "retrain",
        "backbones": [_untrained(source)],
        "tasks": [{"task": "classify", "data": on, **of_task}],
        "protocols": {"retrain": protocol},
        "seeds": [seed],
        "data": _proxy(on, root, of_data),
    }
    result, folder = run_one(suite, run_dir, imports)
    _leave(folder / result.artifacts["weights"], out)


def settings(options: list[str] | None) -> dict[str, int | str]:
    """``["parts=3", "set=msmt17"]`` as a mapping, whole numbers as numbers."""
    found: dict[str, int | str] = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{option!r}: write NAME=VALUE")
        found[name] = int(value) if value.lstrip("-").isdigit() else value
    return found


def absolute(source: str) -> str:
    """Files by their full path, so that a run directory elsewhere finds them; unknown names are refused."""
    from backbones.source import parse_source

    found = parse_source(source)
    return str(Path(source).expanduser().resolve()) if found.is_file else source


def _untrained(source: str) -> dict[str, str]:
    """The suite's entry for the network of ``source``, named after it."""
    from backbones.source import parse_source

    found = parse_source(absolute(source))
    network = found.network()
    return {network.kind: network.value, **({"name": found.name} if found.kind == "weights" else {})}


def _proxy(name: str, root: Path | None, options: dict[str, int | str] | None = None) -> dict[str, Any]:
    """The data entry of a proxy: a known set (its files at ``root``), or a folder of class folders."""
    given = options or {}
    if root is not None:
        return {name: {"proxy": name, "root": str(root), **given}}
    folder = Path(name).expanduser()
    if folder.is_dir():
        return {name: {"root": str(folder.resolve()), **given}}
    return {name: {"proxy": name, **given}} if given else {}


def run_one(content: dict[str, Any], run_dir: Path | None, imports: list[str] | None) -> tuple[Result, Path]:
    """Run a suite of one chain of jobs; the result of its last job, which is also printed."""
    from benchmarks.live import headline
    from benchmarks.run import Options, plan_suite, run_plan
    from benchmarks.suite import Suite
    from benchmarks.yamlfile import Document, validate
    from nas.errors import NaswildError

    document = Document(Path("command line"), content, {})
    options = Options(overwrite="failed", slots=1, imports=tuple(imports or ()))
    plan = plan_suite(validate(Suite, document), document, options, run_dir)
    screen = console()
    try:
        summary = run_plan(plan, options, screen)
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; the same command resumes it\n")
        raise typer.Exit(130) from None
    if not plan.jobs:
        raise NaswildError(f"there is nothing to do: no task of {content['name']} takes {content['backbones'][0]}")
    last = plan.jobs[-1]
    found = [result for result in summary.results if result.key == last.key]
    if not found:
        raise typer.Exit(1)
    for name, metric in found[0].metrics.items():
        screen.print(f"{name:8} {headline({name: metric}).removeprefix(name).strip()}", highlight=False)
    return found[0], plan.run_dir


def _leave(path: Path, out: Path | None) -> None:
    """Print the path of the file, after copying it to the requested one."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out)
    typer.echo(out or path)
