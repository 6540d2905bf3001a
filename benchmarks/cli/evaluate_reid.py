"""``naswild evaluate --weights FILE --task reid``: a trained PCB scored again, and used on your own images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nas.progress import Report
    from reid.trained import Trained


@dataclass(frozen=True)
class Wanted:
    """What the options of the command ask for besides the score."""

    on: str | None = None
    descriptors: Path | None = None
    query: Path | None = None
    gallery: Path | None = None
    ranking: Path | None = None
    top: int = 10


def has_head(weights: Path | None) -> bool:
    """Whether the file is a weights file of a network with a re-identification head."""
    from backbones.weights import is_weights_file, read_metadata

    return weights is not None and is_weights_file(weights) and read_metadata(weights).head is not None


def score_reid(weights: Path, root: Path | None, options: dict[str, int | str], wanted: Wanted, report: Report) -> None:
    """Score the network on a set, or rank one folder's images for another's; write what is asked for."""
    from reid.trained import Trained

    if (wanted.query is None) != (wanted.gallery is None):
        raise typer.BadParameter("your own images are two folders: --query FOLDER --gallery FOLDER")
    if (wanted.query is None) == (root is None):
        raise typer.BadParameter("give --root FOLDER for a set, or --query and --gallery for your own images")
    if (wanted.query is None) != (wanted.ranking is None):
        raise typer.BadParameter("--ranking FILE goes with --query and --gallery: it is where the ranked lists go")
    trained = Trained.open(weights, options)
    if root is not None:
        _print_score(trained, root, wanted, report)
    elif wanted.query is not None and wanted.gallery is not None and wanted.ranking is not None:
        _write_ranking(trained, wanted.query, wanted.gallery, wanted.ranking, wanted, report)


def _print_score(trained: Trained, root: Path, wanted: Wanted, report: Report) -> None:
    from reid.trained import save_descriptors, score_pcb

    scored = score_pcb(trained, root, wanted.on, report)
    data, ranking = scored.data, scored.found.ranking
    typer.echo(
        f"{data.title}, {len(data.query):,} queries, {len(data.gallery):,} in the gallery, version {data.version}"
    )
    if (head := trained.metadata.head) is not None:
        typer.echo(f"trained on {head.trained_on}, {head.parts} parts")
    for name, value in ranking.metrics.items():
        typer.echo(f"{name:8} {value:.2%}   (chance {ranking.chance[name]:.2%})")
    typer.echo(f"seconds  {scored.seconds:.1f}")
    if wanted.descriptors is not None:
        typer.echo(save_descriptors(wanted.descriptors, data, scored.found))


def _write_ranking(trained: Trained, query: Path, gallery: Path, ranking: Path, wanted: Wanted, report: Report) -> None:
    from reid.trained import rank_folders, save_ranking

    rows = rank_folders(trained, query, gallery, top=wanted.top, descriptors=wanted.descriptors, report=report)
    typer.echo(save_ranking(ranking, rows))
