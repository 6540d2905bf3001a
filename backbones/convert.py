"""Checkpoints of the DARTS family, read safely and rewritten as this package's weights files, verified.

The checkpoint holds no genotype, so its name is asked for; stem, channels, cells and classes are read off the tensors.
The new network must then give the logits that the old tensors give by the papers' definitions of the cell that was
named (:mod:`backbones.darts_forward`).

That proves that every tensor came to its place. It does not prove the name: a genotype whose edges carry the same
operations between other nodes, or another operation without parameters, fits the same tensors. The accuracy shows that.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones.checkpoints import Checkpoint, read_checkpoint
from backbones.darts_forward import FAMILY_OPERATIONS, darts_logits
from backbones.darts_names import cell_count, renamed, unread, with_flat_edges
from backbones.metadata import CellArchitecture, WeightsMetadata
from backbones.pyramid import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD
from backbones.weights import save_weights
from nas.errors import NaswildError, unknown
from nas.genotype import Genotype
from nas.network import Stem

_TOLERANCE = 1e-4  # of the largest logit
# The auxiliary head of the family's ImageNet networks lacks this layer; such a head cannot be ours.
_AUXILIARY_END = "auxiliary_head.features.6.weight"


@dataclass(frozen=True)
class Conversion:
    """What a conversion did: the new file's story, tensors taken and left out (and why), and the proof's difference.

    ``table`` is where in the checkpoint the network was; empty for the top level.
    """

    path: str
    metadata: WeightsMetadata
    taken: int
    left_out: Mapping[str, int]
    difference: float
    table: str = ""

    def __str__(self) -> str:
        shape = self.metadata.architecture
        assert isinstance(shape, CellArchitecture)
        left = "".join(f"; left out: {reason} ({n})" for reason, n in self.left_out.items())
        place = f"; read from {self.table!r}" if self.table else ""
        return (
            f"{self.path}: {self.taken} tensors of a network with the {shape.stem} stem, {shape.cells} cells, "
            f"{shape.channels} channels and {self.metadata.num_classes} classes{place}{left}; "
            f"forward pass differs from the checkpoint's by {self.difference:.1e}"
        )


def convert(
    checkpoint: str | os.PathLike[str],
    genotype: Any,
    out: str | os.PathLike[str],
    *,
    table: str | None = None,
    classes: tuple[str, ...] = (),
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    input_size: tuple[int, int] | None = None,
) -> Conversion:
    """Write the network of ``checkpoint``, whose cells are ``genotype``, to the weights file ``out``, in float32.

    Args:
        checkpoint: A file of ``torch.save`` or safetensors (:func:`backbones.checkpoints.read_checkpoint`).
        genotype: Anything that :meth:`nas.Genotype.load` takes; its edges in the order of the code that made the file.
        out: Where to write; nothing is left there if the proof fails.
        table: Which of several networks in the file, e.g. ``"state_dict"``; the averaged one (``ema``) by default.
        classes, mean, std, input_size: For the header; by default those of CIFAR-10 or ImageNet, as the stem says.

    Raises :class:`NaswildError` for a file that is damaged, would execute something, or belongs to another network.
    """
    genotype = Genotype.load(genotype)
    _check_operations(genotype)
    found = read_checkpoint(checkpoint, table)
    source = with_flat_edges(found.tensors, genotype)
    architecture = _architecture(source, genotype, checkpoint)
    cifar = architecture.stem == "cifar"
    metadata = WeightsMetadata(
        architecture=architecture,
        num_classes=len(source["classifier.weight"]),
        classes=classes,
        mean=mean or (CIFAR_MEAN if cifar else IMAGENET_MEAN),
        std=std or (CIFAR_STD if cifar else IMAGENET_STD),
        input_size=(architecture.in_channels, *(input_size or ((32, 32) if cifar else (224, 224)))),
        recipe={"converted_from": Path(checkpoint).name},
    )
    network = architecture.build(metadata.num_classes, auxiliary=_AUXILIARY_END in source).eval()
    state, left_out = _translated(source, genotype, network.state_dict(), checkpoint)
    network.load_state_dict(state)
    difference = _prove(network, source, genotype, architecture, checkpoint)
    save_weights(out, network, metadata)
    return _reported(out, metadata, found, left_out, difference)


def _reported(
    out: str | os.PathLike[str],
    metadata: WeightsMetadata,
    found: Checkpoint,
    left_out: Mapping[str, int],
    difference: float,
) -> Conversion:
    taken = len(found.tensors) - sum(left_out.values())
    return Conversion(os.fspath(out), metadata, taken, found.left_out | dict(left_out), difference, found.table)


def _check_operations(genotype: Genotype) -> None:
    """Refuse an operation for which the family's code has no one layout of tensors."""
    for cell in (genotype.normal, genotype.reduce):
        for edge in (edge for node in cell.nodes for edge in node):
            if edge.operation not in FAMILY_OPERATIONS:
                raise unknown("operation of the DARTS family", edge.operation, FAMILY_OPERATIONS)


def _architecture(source: Mapping[str, Tensor], genotype: Genotype, checkpoint: Any) -> CellArchitecture:
    """Stem, channels and cells as the tensors show them."""
    cifar, first, last = (source.get(f"{name}.weight") for name in ("stem.0", "stem0.0", "stem0.3"))
    cells = cell_count(source)
    if "classifier.weight" not in source or cells < 3 or (cifar is None and (first is None or last is None)):
        names = ", ".join(list(source)[:3])
        raise NaswildError(
            f"{checkpoint} is not a network of the DARTS family: expected stem.0 or stem0.0, cells.N._ops and "
            f"classifier, found {names}, ..."
        )
    if cifar is not None:
        stem: Stem = "cifar"
        channels, in_channels = cifar.shape[0] // 3, cifar.shape[1]  # the stem has three times the channels
    else:
        assert first is not None
        assert last is not None
        stem, channels, in_channels = "imagenet", last.shape[0], first.shape[1]
    return CellArchitecture(
        genotype=genotype.to_dict(), stem=stem, channels=channels, cells=cells, in_channels=in_channels
    )


def _translated(
    source: Mapping[str, Tensor], genotype: Genotype, wanted: Mapping[str, Tensor], checkpoint: Any
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors under our names, and how many were left out for which reason; raises if the two do not fit."""
    cells = cell_count(source)
    ours = {key: renamed(key, genotype, cells) or "" for key in source}
    state = {ours[key]: tensor for key, tensor in source.items() if ours[key] in wanted}
    reasons = {key: _reason(key, genotype, cells) for key in source if ours[key] not in wanted}
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.zeros_like(tensor))  # unknown to PyTorch before 0.4.1
    faults = [f"{key} has no place in it" for key, reason in reasons.items() if reason is None]
    faults += [f"it needs {key}, which is not there" for key in wanted if key not in state]
    faults += [
        f"{key} is {tuple(tensor.shape)} instead of {tuple(wanted[ours[key]].shape)}"
        for key, tensor in source.items()
        if ours[key] in wanted and tensor.shape != wanted[ours[key]].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise NaswildError(f"{checkpoint} does not fit the genotype given: {'; '.join(faults[:3])}{more}")
    return state, dict(Counter(reason for reason in reasons.values() if reason is not None))


def _reason(key: str, genotype: Genotype, cells: int) -> str | None:
    if unread(key, genotype, cells):
        return "preprocessing of an input that no edge reads"
    if key.startswith("auxiliary_head."):
        return "auxiliary head without its second batch normalisation (serves training only)"
    return None


def _prove(
    network: nn.Module,
    source: Mapping[str, Tensor],
    genotype: Genotype,
    architecture: CellArchitecture,
    checkpoint: Any,
) -> float:
    """The largest difference of the logits, relative to the largest logit, on random images."""
    side = 32 if architecture.stem == "cifar" else 64
    images = torch.randn(2, architecture.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = darts_logits(source, genotype, images), network(images)
    difference = ((expected - found).abs().max() / expected.abs().max()).item()
    if not difference <= _TOLERANCE:  # also for NaN
        raise NaswildError(
            f"{checkpoint}: the converted network differs from its source by {difference:.1e} of the largest logit; "
            f"its weights are damaged (not finite)"
        )
    return difference
