"""``naswild data``: make the data that is ours to make, check the data that is yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.cli.options import Seed
from benchmarks.cli.single import Settings, settings

app = typer.Typer(help="Make small data sets, check copies of real ones.", no_args_is_help=True)


@app.command("make")
def make(
    maker: Annotated[str, typer.Argument(help="digits-coco (detection) or reid (re-identification).")],
    out: Annotated[Path, typer.Argument(help="Folder to make it in.")],
    seed: Seed = 0,
    options: Settings = None,
) -> None:
    """Make a data set; the same seed and options give the same files.

    Examples:

    \b
    naswild data make digits-coco data/digits-coco --seed 0
    naswild data make digits-coco data/large -o train=2000 -o val=500
    naswild data make reid data/reid
    """
    import inspect

    from benchmarks.datasets import get_maker
    from nas.errors import unknown

    function, given = get_maker(maker), settings(options)
    known = set(inspect.signature(function).parameters) - {"out", "seed"}
    for name in given:
        if name not in known:
            raise unknown(f"option of {maker}", name, known)
    function(out, seed=seed, **given)
    typer.echo(out)


@app.command("check")
def check(
    kind: Annotated[
        Literal["proxy", "coco", "market1501", "dukemtmcreid", "msmt17"], typer.Argument(help="Kind of the data set.")
    ],
    root: Annotated[Path, typer.Argument(help="Folder of your copy; for re-identification sets, its parent folder.")],
    deep: Annotated[bool, typer.Option(help="Decode every image instead of 200 per split (coco).")] = False,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="For re-identification sets: accept sizes other than the published one.")
    ] = False,
) -> None:
    """Check a copy of a data set before training on it; exit code 1 if it has errors.

    Examples:

    \b
    naswild data check coco ~/data/coco --deep
    naswild data check market1501 ~/data/reid
    naswild data check market1501 data/reid --any-size
    naswild data check proxy ~/data/imagenet
    """
    if kind == "coco":
        text, sound = _check_coco(root, deep)
    else:
        text, sound = _check_proxy(root) if kind == "proxy" else _check_reid(kind, root, any_size)
    typer.echo(text)
    if not sound:
        raise typer.Exit(1)


def _check_proxy(root: Path) -> tuple[str, bool]:
    from nas.proxies import load_proxy

    proxy = load_proxy(root)
    size = f"{len(proxy.train)} training and {len(proxy.test)} test images of {proxy.num_classes} classes"
    return f"{proxy.name}: {size}, version {proxy.version}", True


def _check_coco(root: Path, deep: bool) -> tuple[str, bool]:
    from detection.check import DECODED, check_coco, summarise
    from detection.data import CocoData

    data = CocoData.open(root)
    problems = check_coco(data, decoded=None if deep else DECODED)
    sound = not any(problem.severity == "error" for problem in problems)
    classes = f"{len(data.classes)} classes, " if sound else ""
    return f"{data.name}: {classes}version {data.version}\n{summarise(problems)}", sound


def _check_reid(kind: str, root: Path, any_size: bool) -> tuple[str, bool]:
    from reid.datasets import load_reid_data

    data = load_reid_data(root, kind)
    lines = [
        f"{data.title}: {len(data.train)} training images of {data.identities} identities, "
        f"{len(data.query)} queries, {len(data.gallery)} gallery images, version {data.version}",
        *data.notes,
    ]
    if not (data.whole or any_size):
        lines.append("not the published set: restore the missing images, or pass --any-size for a set of your own")
    return "\n".join(lines), data.whole or any_size
