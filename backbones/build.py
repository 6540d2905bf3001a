"""One way in: a backbone from whatever names one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backbones.cell_backbone import CellBackbone
from backbones.metadata import CellArchitecture
from backbones.pyramid import Pyramid
from backbones.source import parse_source
from backbones.timm_backbone import TimmBackbone, names_weights, timm_config
from backbones.weights import read_metadata
from nas import zoo
from nas.genotype import Genotype


def build_backbone(
    source: Any,
    *,
    channels: int = 48,
    cells: int = 14,
    out_indices: Sequence[int] = (0, 1, 2, 3),
    last_stride: int = 2,
    **options: Any,
) -> Pyramid:
    """A :class:`CellBackbone` or :class:`TimmBackbone` for ``source``.

    Args:
        source: A name of the zoo, a genotype (value, file or text), a weights file, a timm model (with ``timm:``
            before its name where both know it), ``local-dir:FOLDER`` (of timm's ``save_for_hf``) or
            ``hf-hub:OWNER/NAME``, which is fetched; see :mod:`backbones.source`.
        channels, cells: Size of a network of cells; a weights file and a timm model have their own.
        out_indices: Levels to return: 0 to 3 for strides 4 to 32; negative ones count from the last.
        last_stride: 1 keeps the last level at stride 16 (PCB).
        options: ``frozen_stages``, ``norm_eval``, ``norm``, ``checkpointing``, ``drop_path`` or ``in_channels``.

    Raises :class:`nas.errors.UnknownName` with near matches, or another :class:`nas.errors.NaswildError`.
    """
    options |= {"out_indices": out_indices, "last_stride": last_stride}
    found = parse_source(source).pyramid()
    if found.kind == "weights":
        is_cell = isinstance(read_metadata(found.value).architecture, CellArchitecture)
        return (CellBackbone if is_cell else TimmBackbone).from_file(found.value, **options)
    if found.kind == "timm" and names_weights(found.value) and timm_config(found.value)[1] in ("cellnet", *zoo.names()):
        return CellBackbone.from_timm(found.value, **options)
    if found.kind == "timm":
        return TimmBackbone(found.value, **options)
    return CellBackbone(Genotype.load(found.value), channels, cells, **options)
