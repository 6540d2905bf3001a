"""A network of cells as a backbone: the pyramid at strides 4, 8, 16 and 32 that other tasks read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import timm
from torch import Tensor, nn

from backbones.metadata import CellArchitecture
from backbones.pyramid import Norm, Pyramid, agreed, refuse_options, take_levels, with_norm
from backbones.weights import load_into, read_metadata
from nas.errors import NaswildError
from nas.genotype import Genotype
from nas.network import CellBody, Stem


class CellBackbone(Pyramid):
    """Stem and cells without a classifier: (N, in_channels, H, W) -> one tensor for each of ``out_indices``.

    Level i has stride 4, 8, 16, 32 and C, 4C, 8C, 16C channels (48, 192, 384, 768 at the paper's C = 48, section 5.4);
    sides are rounded up, so any input size works. Only what the levels need is built: every parameter gets a gradient.

    Args:
        genotype: Anything that :meth:`nas.Genotype.load` takes.
        channels: C, the channels of a node in the first cells.
        cells: Number of cells of the full network.
        out_indices: Levels to return; negative ones count from the last.
        last_stride: 1 keeps the last level at the resolution of the one before (PCB, section 5.4.2).
        stem: ``"imagenet"``, or ``"cifar"`` with levels at strides 1, 2, 4.
        in_channels: Channels of the input.
        frozen_stages: The stem and the stages up to this level are kept as they are; -1 freezes nothing.
        norm_eval: Batch normalisation uses its running statistics in training too.
        norm: ``"BN"``, ``"SyncBN"`` or ``"GN"``.
        checkpointing: Recompute the cells in the backward pass: less memory, the same result.
        drop_path: Probability with which a path of a cell is dropped in training.
    """

    def __init__(
        self,
        genotype: Any,
        channels: int = 48,
        cells: int = 14,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        last_stride: int = 2,
        *,
        stem: Stem = "imagenet",
        in_channels: int = 3,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm: Norm = "BN",
        checkpointing: bool = False,
        drop_path: float = 0.0,
        **others: Any,
    ) -> None:
        super().__init__()
        refuse_options(others, "CellBackbone")
        levels = 4 if stem == "imagenet" else 3
        self.out_indices = take_levels(out_indices, levels, "CellBackbone")
        self.body = body = CellBody(
            Genotype.load(genotype),
            stem,
            channels,
            cells,
            in_channels=in_channels,
            depth=max(self.out_indices),
            last_stride=last_stride,
        )
        body.checkpointing = checkpointing
        body.set_drop_path(drop_path)
        with_norm(body, norm)
        self.channels = tuple(body.levels[i].channels for i in self.out_indices)
        self.strides = tuple(body.levels[i].stride for i in self.out_indices)
        self.set_habits(_first_stages(body, frozen_stages, levels), norm_eval)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> CellBackbone:
        """The backbone of a weights file, which gives cells, size and normalisation; ``options`` are the rest."""
        metadata = read_metadata(path)
        architecture = metadata.architecture
        if not isinstance(architecture, CellArchitecture):
            raise NaswildError(
                f"{path} holds the timm model {architecture.name!r}; build it with TimmBackbone.from_file"
            )
        backbone = cls(**agreed(architecture.shape, options, path))
        backbone.load_report = load_into(backbone, path)
        backbone.mean, backbone.std = metadata.mean, metadata.std
        return backbone

    @classmethod
    def from_timm(cls, source: str, **options: Any) -> CellBackbone:
        """The backbone of a network of cells that timm saved: ``local-dir:FOLDER`` or ``hf-hub:OWNER/NAME``."""
        network: Any = timm.create_model(source, pretrained=True)
        shape = network.shape | {"in_channels": network.in_chans, "genotype": network.body.genotype}
        backbone = cls(**agreed(shape, options, source))
        state = network.state_dict()
        backbone.load_state_dict({key: state[key] for key in backbone.state_dict()})
        backbone.mean, backbone.std = (tuple(network.pretrained_cfg[key]) for key in ("mean", "std"))
        return backbone

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> one (N, channels[i], ceil(H / strides[i]), ceil(W / strides[i])) for each level."""
        pyramid = self.body(x)
        return [pyramid[index] for index in self.out_indices]

    def leftover(self, key: str) -> str | None:
        """Classifier, auxiliary head and the cells after the last level asked for are not part of a backbone."""
        if key.startswith("classifier."):
            return "classifier"
        if key.startswith("auxiliary."):
            return "auxiliary head"
        if key.startswith("body.stem1.") and not hasattr(self.body, "stem1"):
            return "after the last level"
        if key.startswith("body.cells.") and int(key.split(".")[2]) >= len(self.body.cells):
            return "after the last level"
        return None


def _first_stages(body: CellBody, frozen: int, levels: int) -> list[nn.Module]:
    """Stem and cells up to level ``frozen``, as far as they are built."""
    if not -1 <= frozen < levels:
        raise NaswildError(f"frozen_stages must be -1 (none) to {levels - 1}, not {frozen}")
    if frozen < 0:
        return []
    stem = [module for name, module in body.named_children() if name.startswith("stem")]
    last = body.levels[min(frozen, len(body.levels) - 1)].module
    cells = 0 if last == "stem0" else int(last.removeprefix("cells.")) + 1
    return [*stem, *body.cells[:cells]]
