"""A trained PCB as a weights file: backbone, head, identities, normalisation, recipe and score in its header."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbones.cell_backbone import CellBackbone
from backbones.metadata import CellArchitecture, PcbHead, TimmArchitecture, TorchreidArchitecture, WeightsMetadata
from backbones.pyramid import Pyramid
from backbones.timm_backbone import TimmBackbone
from backbones.weights import is_weights_file, read_metadata, read_tensors, write_tensors
from nas.errors import NaswildError
from reid.pcb import PCB
from reid.recipe import ReidRecipe


def save_pcb(
    path: Path,
    network: PCB,
    source: Any,
    recipe: ReidRecipe,
    *,
    trained_on: str,
    identities: tuple[str, ...],
    score: Mapping[str, float],
) -> Path:
    """Write ``network``, whose backbone was built from ``source``, and return the path.

    ``identities`` names the people that its classifiers tell apart, in the order of their labels.
    """
    head = PcbHead(
        parts=network.parts,
        reduced_dim=recipe.reduced_dim,
        descriptor=network.descriptor,
        shared_reduction=recipe.shared_reduction,
        normalise_stripes=network.normalise_stripes,
        last_stride=recipe.last_stride,
        trained_on=trained_on,
    )
    metadata = WeightsMetadata(
        format=2,  # the first that knows heads
        architecture=architecture_of(network.backbone, source),
        head=head,
        num_classes=len(identities),
        classes=identities,
        mean=tuple(network.backbone.mean),
        std=tuple(network.backbone.std),
        input_size=(3, recipe.height, recipe.width),
        recipe=recipe.model_dump(mode="json"),
        score=dict(score),
    )
    write_tensors(path, network.state_dict(), metadata)
    return path


def load_pcb(path: str | os.PathLike[str]) -> tuple[PCB, WeightsMetadata, ReidRecipe]:
    """The network of the file in evaluation mode, the file's header, and the recipe it was trained by.

    Raises :class:`NaswildError` for a file without a PCB head, and for tensors that are missing, unknown or of another
    shape.
    """
    metadata = read_metadata(path)
    head = metadata.head
    if head is None:
        raise NaswildError(
            f"{path} holds a classification network without a PCB head; train one on it: naswild evaluate {path} "
            "--task reid --protocol reid-pcb --root FOLDER -o set=market1501 -o parts=6"
        )
    recipe = ReidRecipe.model_validate(metadata.recipe)
    network = PCB(
        architecture_backbone(metadata.architecture, head.last_stride),
        head.parts,
        metadata.num_classes,
        head.reduced_dim,
        descriptor=head.descriptor,
        shared_reduction=head.shared_reduction,
        normalise_stripes=head.normalise_stripes,
        dropout=recipe.dropout,
    )
    tensors, own = read_tensors(path), network.state_dict()
    wrong = [name for name in own if name not in tensors or tensors[name].shape != own[name].shape]
    wrong += [name for name in tensors if name not in own]
    if wrong:
        raise NaswildError(
            f"{path}: not the network that its header describes: {len(wrong)} tensors are missing, unknown or of "
            f"another shape, the first is {wrong[0]}"
        )
    network.load_state_dict(tensors)
    network.backbone.mean, network.backbone.std = metadata.mean, metadata.std
    return network.eval(), metadata, recipe


def architecture_of(backbone: Pyramid, source: Any) -> CellArchitecture | TimmArchitecture | TorchreidArchitecture:
    """What a backbone that was built from ``source`` is, so that it can be built again."""
    if isinstance(backbone, CellBackbone):
        return CellArchitecture.of(backbone.body)
    if isinstance(backbone, TimmBackbone):
        known = read_metadata(source).architecture if is_weights_file(source) else None
        return known if isinstance(known, TimmArchitecture) else TimmArchitecture(name=backbone.name)
    return TorchreidArchitecture(name=str(source).removeprefix("torchreid:"))


def architecture_backbone(architecture: Any, last_stride: int, **options: Any) -> Pyramid:
    """The backbone of an architecture with its last level only and fresh weights."""
    if isinstance(architecture, CellArchitecture):
        return CellBackbone(**architecture.shape, out_indices=(-1,), last_stride=last_stride, **options)
    if isinstance(architecture, TimmArchitecture):
        return TimmBackbone(
            architecture.name, out_indices=(-1,), last_stride=last_stride, **architecture.kwargs, **options
        )
    from reid.torchreid_backbones import TorchreidBackbone

    return TorchreidBackbone(architecture.name, last_stride)
