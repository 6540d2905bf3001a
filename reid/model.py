"""From the name of a backbone to a network with a PCB head, and what it costs."""

from __future__ import annotations

from typing import Any

import torch

from backbones.build import build_backbone
from backbones.pyramid import Pyramid
from backbones.source import parse_source
from backbones.weights import is_weights_file, read_metadata
from nas.counting import count
from nas.seeding import seed_all
from reid.pcb import PCB
from reid.recipe import ReidRecipe
from reid.weights import architecture_backbone

PAPER_SIDE = 224  # Table 5's multiply-adds are those of Table 3 without the classifier


def reid_backbone(source: Any, last_stride: int = 1, **options: Any) -> Pyramid:
    """The backbone ``source`` with its last level only; ``"torchreid:NAME"`` takes one of torchreid's own networks."""
    found = parse_source(source)
    if found.kind == "torchreid":
        from reid.torchreid_backbones import TorchreidBackbone

        return TorchreidBackbone(found.value, last_stride)
    return build_backbone(found, out_indices=(-1,), last_stride=last_stride, **options)


def build_pcb(source: Any, recipe: ReidRecipe, *, parts: int, identities: int, seed: int, **options: Any) -> PCB:
    """A PCB network as ``recipe`` wants it, with the weights of the file ``source``, or new ones drawn from ``seed``.

    ``options`` go to :func:`backbones.build_backbone` (``channels``, ``cells`` and so on, for a genotype).
    """
    seed_all(seed, "init")
    return PCB(
        reid_backbone(source, recipe.last_stride, **options),
        parts,
        identities,
        recipe.reduced_dim,
        descriptor=recipe.descriptor,
        shared_reduction=recipe.shared_reduction,
        normalise_stripes=recipe.normalise_stripes,
        dropout=recipe.dropout,
    )


def costs(network: PCB, source: Any, recipe: ReidRecipe, **options: Any) -> dict[str, int]:
    """Parameters and multiply-adds of network and backbone, as :class:`reid.outcome.ReidOutcome` has them."""
    size = (recipe.height, recipe.width)
    whole, backbone = count(network, size), count(network.backbone, size)
    with torch.device("meta"):  # the strided form is counted by its shapes: no weights are read, drawn or held
        paper = count(_strided(source, **options), PAPER_SIDE, convention="paper")
    return {
        "parameters": whole.parameters,
        "macs": whole.macs,
        "backbone_parameters": backbone.parameters,
        "backbone_macs": backbone.macs,
        "paper_macs": paper.macs,
    }


def _strided(source: Any, **options: Any) -> Pyramid:
    """The backbone with its last stride, of a weights file the network that its header describes."""
    if not is_weights_file(source):
        return reid_backbone(source, last_stride=2, **options)
    return architecture_backbone(read_metadata(source).architecture, 2, **options)
