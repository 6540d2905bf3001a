"""The Part-based Convolutional Baseline (PCB) as a head on any backbone.

Source: Sun, Zheng, Yang, Tian, Wang, "Beyond Part Models: Person Retrieval with Refined Part Pooling", ECCV 2018,
section 3: the last feature map is cut into ``parts`` horizontal stripes, each stripe is averaged (g), reduced by a 1x1
convolution (h) and classified on its own; the losses of the parts are summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.pyramid import Pyramid
from nas.errors import NaswildError

Descriptor = Literal["before_reduction", "after_reduction"]


class PCB(nn.Module):
    """PCB on the last level of ``backbone``.

    ``parts`` is the number of stripes (the paper's 6, or 1, 3, any). ``reduced_dim`` is the width of each part after
    its 1x1 convolution. ``shared_reduction=True`` gives all parts one convolution, as the authors' code does, instead
    of one each. ``normalise_stripes=True`` scales each stripe of the descriptor to length 1, so that all weigh alike in
    a distance (the authors' code; without, long stripes weigh more). ``dropout`` acts on the averaged stripes (the
    authors' code uses 0.5).

    Training: (b, 3, h, w) -> list of ``parts`` logits (b, num_classes). Evaluation: -> descriptors (b, feature_dim),
    the stripes side by side: ``before_reduction`` (the paper's G, backbone channels per part) or ``after_reduction``
    (H, ``reduced_dim`` per part).
    """

    backbone: Pyramid

    def __init__(
        self,
        backbone: Pyramid,
        parts: int,
        num_classes: int,
        reduced_dim: int = 256,
        *,
        descriptor: Descriptor = "before_reduction",
        shared_reduction: bool = False,
        normalise_stripes: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if parts < 1:
            raise NaswildError(f"PCB needs at least one part, got {parts}")
        if descriptor not in ("before_reduction", "after_reduction"):
            raise NaswildError(f"unknown descriptor {descriptor!r}; use 'before_reduction' or 'after_reduction'")
        channels = backbone.channels[-1]
        self.backbone, self.parts, self.descriptor = backbone, parts, descriptor
        self.part_dim = channels if descriptor == "before_reduction" else reduced_dim
        self.feature_dim = parts * self.part_dim
        self.normalise_stripes = normalise_stripes
        self.dropout = nn.Dropout(dropout)
        self.reductions = nn.ModuleList(
            _reduction(channels, reduced_dim) for _ in range(1 if shared_reduction else parts)
        )
        self.classifiers = nn.ModuleList(_classifier(reduced_dim, num_classes) for _ in range(parts))

    def stripes(self, images: Tensor) -> Tensor:
        """Averages of the horizontal stripes, (b, channels, parts): the paper's column vectors g, top to bottom."""
        level = self.backbone(images)[-1]
        if level.shape[2] < self.parts:
            size = f"{images.shape[2]}x{images.shape[3]}"
            raise NaswildError(
                f"a {size} input gives a feature map {level.shape[2]} rows high, too low for {self.parts} parts; "
                "use taller images, fewer parts or a last stride of 1"
            )
        return F.adaptive_avg_pool2d(level, (self.parts, 1)).flatten(2)

    def reduce(self, stripes: Tensor) -> list[Tensor]:
        """The parts after their reduction, ``parts`` tensors (b, reduced_dim): the paper's h."""
        reductions = list(self.reductions) * (self.parts // len(self.reductions))
        return [reduction(part) for reduction, part in zip(reductions, stripes.split(1, dim=2), strict=True)]

    def logits(self, reduced: Sequence[Tensor]) -> list[Tensor]:
        """One classification of the identity per part, ``parts`` tensors (b, num_classes)."""
        return [classifier(part) for classifier, part in zip(self.classifiers, reduced, strict=True)]

    def describe(self, stripes: Tensor, reduced: Sequence[Tensor] | None = None) -> Tensor:
        """The descriptor (b, feature_dim) that is compared by distance; as a whole it is not normalised."""
        if self.descriptor == "before_reduction":
            parts = stripes.transpose(1, 2)
        else:
            parts = torch.stack(list(reduced or self.reduce(stripes)), dim=1)
        return (F.normalize(parts, dim=2) if self.normalise_stripes else parts).flatten(1)

    def forward(self, images: Tensor, with_descriptor: bool = False) -> Any:
        """Training: logits per part, with the descriptors if asked for. Evaluation: descriptors alone."""
        stripes = self.stripes(images)
        if not self.training:
            return self.describe(stripes)
        reduced = self.reduce(self.dropout(stripes))
        logits = self.logits(reduced)
        return (logits, self.describe(stripes, reduced)) if with_descriptor else logits

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters outside the backbone; they train at the full learning rate, the backbone at a tenth."""
        return [*self.reductions.parameters(), *self.classifiers.parameters()]


def summed_loss(logits: Sequence[Tensor], identities: Tensor) -> Tensor:
    """Sum over the parts of the cross entropy with the (b,) identities (PCB, section 3.1)."""
    return torch.stack([F.cross_entropy(part, identities) for part in logits]).sum()


def _reduction(channels: int, reduced_dim: int) -> nn.Sequential:
    """1x1 convolution, batch normalisation, ReLU on a (b, channels, 1) stripe; starts as Kaiming's."""
    convolution = nn.Conv1d(channels, reduced_dim, kernel_size=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out")
    return nn.Sequential(convolution, nn.BatchNorm1d(reduced_dim), nn.ReLU(inplace=True), nn.Flatten())


def _classifier(reduced_dim: int, num_classes: int) -> nn.Linear:
    linear = nn.Linear(reduced_dim, num_classes)
    nn.init.normal_(linear.weight, std=0.001)
    nn.init.zeros_(linear.bias)
    return linear
