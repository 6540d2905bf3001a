"""``naswild swap``, ``convert`` and ``export``: a backbone into other people's configs, files and runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Backbone = Annotated[
    str,
    typer.Option("--backbone", metavar="NAME", help="A cell, a genotype or weights file, or a timm model (timm:NAME)."),
]
Channels = Annotated[int, typer.Option("--channels", help="Channels of a cell given without a weights file.")]
Cells = Annotated[int, typer.Option("--cells", help="Number of cells, for a cell given without a weights file.")]


def swap(
    config: Annotated[str, typer.Argument(help="An mmdet config: a file, or the name of one that mmdet ships.")],
    backbone: Backbone,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The new config.")],
    channels: Channels = 48,
    cells: Cells = 14,
    untried: Annotated[
        bool,
        typer.Option(
            "--untried", help="Write the config even if the detector cannot be built and run on this machine."
        ),
    ] = False,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME=VALUE", help="Option of the backbone: norm_eval=true, drop_path=0.2, ..."
        ),
    ] = None,
) -> None:
    """Replace the backbone of an mmdetection config; channels, levels, normalisation and rates are adapted.

    Prints every change and keeps the file if its detector trains for one step.

    Examples:

    \b
    naswild swap retinanet_r50_fpn_1x_coco.py --backbone pdarts_cifar10 -o retinanet_pdarts.py
    naswild swap my_config.py --backbone mine.safetensors --option frozen_stages=0 -o new.py
    """
    from backbones.swap import swap as swap_backbone

    given = {"channels": channels, "cells": cells} | _values(options or [])
    typer.echo(swap_backbone(config, backbone, out, trial=not untried, **given))


def _values(options: list[str]) -> dict[str, Any]:
    """``["norm_eval=true", "drop_path=0.2"]`` as a mapping, values read as YAML."""
    import yaml

    found = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{option!r}: write NAME=VALUE")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"{option!r}: {value!r} is not a valid value ({error})") from None
    return found


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of the DARTS family, as torch.save wrote it.")],
    genotype: Annotated[str, typer.Option("--genotype", help="Its cells: a published name or a genotype file.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The weights file to write.")],
    table: Annotated[
        str | None, typer.Option("--table", help="Which network, if the file holds several: state_dict, ema, ...")
    ] = None,
    mean: Annotated[
        list[float] | None, typer.Option("--mean", help="Mean of the images, 0 to 1; repeat for each channel.")
    ] = None,
    std: Annotated[list[float] | None, typer.Option("--std", help="As --mean.")] = None,
) -> None:
    """Convert a checkpoint of the DARTS family to a weights file, safely, and verify it by a forward pass.

    Example:

    \b
    naswild convert cifar10_model.pt --genotype pdarts_cifar10 -o pdarts.safetensors
    """
    from backbones.convert import convert as convert_checkpoint

    done = convert_checkpoint(
        checkpoint, genotype, out, table=table, mean=tuple(mean) if mean else None, std=tuple(std) if std else None
    )
    typer.echo(done)


def export(
    backbone: Backbone,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The file to write.")],
    form: Annotated[
        Literal["onnx", "torchscript", "exported"], typer.Option("--format", "-f", help="exported: torch.export.")
    ] = "onnx",
    features: Annotated[
        bool, typer.Option("--features", help="Export the feature pyramid instead of the classifier.")
    ] = False,
    size: Annotated[
        int | None, typer.Option("--size", help="Input size in pixels (default: the weights file's, or 224).")
    ] = None,
    channels: Channels = 48,
    cells: Cells = 14,
) -> None:
    """Write a network for deployment, its batch normalisation folded, checked against the eager output.

    Examples:

    \b
    naswild export --backbone mine.safetensors --format onnx -o mine.onnx
    naswild export --backbone pdarts_cifar10 --features --size 320 --format torchscript -o pyramid.pt
    """
    from backbones.export import export as export_network

    typer.echo(export_network(backbone, form, out, features=features, input_size=size, channels=channels, cells=cells))
