"""``naswild evaluate``: the score of weights that are trained already, or a backbone measured on a task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.cli.evaluate_reid import Wanted, has_head, score_reid
from benchmarks.cli.options import Imports, RunDir, Seed, console
from benchmarks.cli.single import Root, Settings, absolute, run_one, settings

if TYPE_CHECKING:
    from detection.coco_eval import CocoScores
    from nas.progress import Report


def evaluate(
    task: Annotated[
        str,
        typer.Option("--task", help="Set to classify (digits, cifar10, a folder), detect, reid, or another task."),
    ],
    source: Annotated[
        str | None,
        typer.Argument(help="A backbone to measure: a cell, a genotype or weights file, or timm:NAME."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Evaluate without training: a weights file (also a PCB's), or a detector's checkpoint.",
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="For a backbone: a protocol of the task's stage, by name or path.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="MAKER", help="Generated data: digits-coco, reid.")
    ] = None,
    root: Root = None,
    options: Settings = None,
    format_only: Annotated[
        bool, typer.Option("--format-only", help="With a detector: only write the file for COCO's test-dev server.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where that file goes.")] = Path(),
    on: Annotated[
        str | None, typer.Option("--on", metavar="SET", help="With a PCB: the set to evaluate on, if not its own.")
    ] = None,
    descriptors: Annotated[
        Path | None,
        typer.Option("--descriptors", metavar="FILE", help="With a PCB: write its descriptors to this file (.npz)."),
    ] = None,
    query: Annotated[
        Path | None, typer.Option("--query", metavar="FOLDER", help="With a PCB: your own query images.")
    ] = None,
    gallery: Annotated[
        Path | None, typer.Option("--gallery", metavar="FOLDER", help="With a PCB: your own gallery images.")
    ] = None,
    ranking: Annotated[
        Path | None,
        typer.Option("--ranking", metavar="FILE", help="Write the ranked lists to this file (.csv or .json)."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of gallery images in a ranked list.")] = 10,
    seed: Seed = 0,
    run_dir: RunDir = None,
    imports: Imports = None,
) -> None:
    """Score trained weights alone, or train a task's network on a backbone and measure it.

    Examples:

    \b
    naswild evaluate --weights darts_v2.safetensors --task digits
    naswild evaluate --weights darts_v2.safetensors --task cifar10 --root ~/data/cifar10
    naswild evaluate --weights detector.pth --task detect --root ~/data/coco
    naswild evaluate --weights detector.pth --task detect --root ~/data/coco --format-only -o algorithm=pdarts
    naswild evaluate darts_v2.safetensors --task detect --protocol detect-mini --data digits-coco
    naswild evaluate darts_v2.safetensors --task reid --protocol reid-mini --root ~/reid -o set=market1501 -o parts=6
    naswild evaluate --weights pcb.safetensors --task reid --root ~/reid
    naswild evaluate --weights pcb.safetensors --task reid --root ~/reid --on dukemtmcreid --descriptors duke.npz
    naswild evaluate --weights pcb.safetensors --task reid --query mine --gallery theirs --ranking nearest.csv --top 5
    """
    if (source is None) == (weights is None):
        raise typer.BadParameter("give a backbone to measure, or --weights FILE to score it as it is")
    given = settings(options)
    if _is_classification(task, imports):
        _score_classifier(Path(str(weights or source)), task, root, given)
        return
    if task == "reid" and has_head(weights):
        with _progress() as report:
            score_reid(Path(str(weights)), root, given, Wanted(on, descriptors, query, gallery, ranking, top), report)
        return
    detector = weights
    if source is not None:
        if protocol is None:
            raise typer.BadParameter("measuring a backbone takes a protocol of the task's stage: --protocol NAME")
        suite = _suite(source, task, protocol, data, root, given, seed)
        result, folder = run_one(suite, run_dir, imports)
        if not format_only:
            return
        detector, given = folder / result.artifacts.get("detector", ""), {}
    _score_detector(detector, task, root, given, out if format_only else None)


def _is_classification(task: str, imports: list[str] | None) -> bool:
    """Whether ``task`` names a classification set or a folder of one; a task's own name comes first."""
    from benchmarks.scoring import classification_sets
    from benchmarks.tasks import task_names
    from benchmarks.tasks.registry import import_extensions
    from nas.errors import unknown

    import_extensions(imports or [])
    if task in task_names():
        return False
    if task in classification_sets() or Path(task).expanduser().is_dir():
        return True
    raise unknown("task", task, [*task_names(), *classification_sets()])


def _score_classifier(weights: Path, task: str, root: Path | None, options: dict[str, int | str]) -> None:
    from backbones.weights import is_weights_file
    from benchmarks.scoring import score_classifier

    if not is_weights_file(weights):
        raise typer.BadParameter(f"{weights} is not a weights file; train one: naswild retrain {weights} --on {task}")
    with _progress() as report:
        found = score_classifier(weights, task, root=root, options=options, report=report)
    score, proxy = found.score, found.proxy
    typer.echo(f"{proxy.name}, test: {score.images:,} images of {proxy.num_classes} classes, version {proxy.version}")
    typer.echo(f"top1     {score.top1:.2%}   (chance {1 / proxy.num_classes:.2%})")
    typer.echo(f"top5     {score.top5:.2%}   (chance {min(5, proxy.num_classes) / proxy.num_classes:.2%})")
    typer.echo(f"loss     {score.loss:.4f}")
    typer.echo(f"seconds  {found.seconds:.1f}   ({score.images / found.seconds:,.0f} images per second)")
    if score.left_out:
        typer.echo(f"left out {score.left_out:,} images that cannot be decoded")


def _score_detector(
    detector: Path | None, task: str, root: Path | None, options: dict[str, int | str], submission: Path | None
) -> None:
    from backbones.weights import is_weights_file
    from benchmarks.scoring import score_detector
    from nas.errors import NaswildError

    if task != "detect" or is_weights_file(detector):
        raise NaswildError(
            f"what can be scored alone is a classification network (--task digits, cifar10, ...) and a detector's "
            f"checkpoint (--task detect); to measure {detector} on {task}: naswild evaluate {detector} --task {task} "
            "--protocol NAME"
        )
    if detector is None or root is None:
        raise typer.BadParameter("a detector is scored on your own COCO-format data: --root FOLDER")
    with _progress() as report:
        found = score_detector(detector, root, submission=submission, options=options, report=report)
    typer.echo(f"{detector}: {found.matched} tensors matched, 0 missing, 0 unexpected")
    typer.echo(f"{found.images:,} images in {found.seconds:.1f} s ({found.images / found.seconds:.1f} a second)")
    if found.scores is not None:
        _print_scores(found.scores)
    if found.submission is not None:
        typer.echo(f"{found.submission}\n{found.submission.with_suffix('.zip')}")


def _print_scores(scores: CocoScores) -> None:
    for name, value in scores.stats.items():
        typer.echo(f"{name:6} {f'{value:.2%}' if value >= 0 else 'no boxes to measure'}")
    width = max(map(len, scores.per_class))
    for name, figures in scores.per_class.items():
        shown = "  ".join(f"{key} {figures[key]:.2%}" for key in ("AP", "AP50", "AP75") if figures[key] >= 0)
        typer.echo(f"  {name:{width}}  {shown or 'no boxes to measure'}")


def _suite(
    source: str,
    task: str,
    protocol: str,
    data: str | None,
    root: Path | None,
    options: dict[str, int | str],
    seed: int,
) -> dict[str, Any]:
    """A suite of one backbone and one task."""
    from benchmarks.tasks import get_task

    if (data is None) == (root is None):
        raise typer.BadParameter("give one of --data and --root")
    name = data or (root.name if root is not None else "")
    return {
        "name": "evaluate",
        "backbones": [absolute(source)],
        "tasks": [{"task": task, "data": name, **options}],
        "protocols": {get_task(task).stage: protocol},
        "seeds": [seed],
        "data": {name: {"made": data} if root is None else {"root": str(root.expanduser().resolve())}},
    }


@contextmanager
def _progress() -> Iterator[Report]:
    """A bar on a terminal, gone when the work is done; nothing anywhere else."""
    from rich.progress import Progress as Bars

    from nas.progress import Progress

    screen = console()
    with Bars(console=screen, transient=True, disable=not screen.is_terminal) as bars:
        bar = bars.add_task("evaluate", total=1.0)

        def report(progress: Progress) -> None:
            bars.update(bar, completed=progress.fraction)

        yield report
