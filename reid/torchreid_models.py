"""PCB on our backbones as torchreid models: ``torchreid.models.build_model("pcb_p6_pdarts_cifar10", num_classes=751)``.

Import it once. Every cell of the zoo and the paper's other networks (``pcb_p6_timm:resnet50``) are there with 1, 3 and
6 parts; :func:`register_pcb` adds other backbones.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from backbones.torchreid_models import NAMES, register_torchreid, weights_of
from nas.errors import NaswildError
from reid.model import reid_backbone
from reid.pcb import PCB

PARTS = (1, 3, 6)


class TorchreidPCB(PCB):
    """:class:`reid.pcb.PCB` in the way torchreid's engines call a network.

    Training gives the list of the parts' logits, with ``loss="triplet"`` beside the normalised descriptor; evaluation
    gives the normalised descriptor. torchreid averages the losses of a list where PCB sums them: multiply its learning
    rate by the number of parts for the same steps.
    """

    def __init__(self, backbone: Any, parts: int, num_classes: int, loss: str = "softmax", **options: Any) -> None:
        super().__init__(backbone, parts, num_classes, **options)
        if loss not in ("softmax", "triplet"):
            raise NaswildError(f"loss must be 'softmax' or 'triplet', not {loss!r}")
        self.loss = loss

    def forward(self, images: Tensor, with_descriptor: bool = False) -> Any:  # noqa: ARG002 (torchreid never passes it)
        """(b, 3, h, w) -> logits, or (logits, descriptor), or the descriptor; see the class."""
        if not self.training:
            return F.normalize(super().forward(images), dim=1)
        logits, descriptor = super().forward(images, with_descriptor=True)
        return logits if self.loss == "softmax" else (logits, F.normalize(descriptor, dim=1))


def register_pcb(name: str, source: Any, parts: int, **options: Any) -> None:
    """Make PCB with ``parts`` stripes on the backbone ``source`` known to torchreid as ``name``.

    ``options`` go to the backbone (``channels``, ``cells``, ...). A weights file as ``source`` is always loaded;
    torchreid's ``pretrained=True`` fetches timm's weights for a timm model and is refused for a cell without a file.
    """

    def factory(
        num_classes: int,
        loss: str = "softmax",
        pretrained: bool = True,
        use_gpu: bool = True,  # noqa: ARG001 (torchreid passes it to every model)
        **head: Any,
    ) -> nn.Module:
        backbone = reid_backbone(source, **options, **weights_of(name, source, pretrained))
        return TorchreidPCB(backbone, parts, num_classes, loss, **head)

    register_torchreid(name, factory)


for _name in NAMES:
    for _parts in PARTS:
        register_pcb(f"pcb_p{_parts}_{_name}", _name, _parts)
