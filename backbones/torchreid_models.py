"""Backbones in torchreid's registry: ``torchreid.models.build_model("pdarts_cifar10", num_classes=751)``.

Import it once. Every cell of the zoo, the paper's other networks (``timm:mobilenetv2_100``), and every backbone that
:func:`register_global_pool` is told of, becomes a network with global average pooling and one classifier, which
torchreid's engines train. The part-based ones (``pcb_p6_...``) come from ``reid``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from backbones.baselines import BASELINES
from backbones.build import build_backbone
from backbones.timm_backbone import is_timm_name
from backbones.torchreid_import import load_torchreid
from backbones.weights import is_weights_file
from nas import zoo
from nas.errors import NaswildError

Factory = Callable[..., nn.Module]


class GlobalPoolNetwork(nn.Module):
    """The last level of a backbone, averaged, and one classifier, in the way torchreid's engines call it.

    In training ``forward`` gives logits (N, num_classes), with ``loss="triplet"`` the pair (logits, features); in
    evaluation it gives the features (N, feature_dim).
    """

    def __init__(self, source: Any, num_classes: int, loss: str = "softmax", **options: Any) -> None:
        super().__init__()
        if loss not in ("softmax", "triplet"):
            raise NaswildError(f"loss must be 'softmax' or 'triplet', not {loss!r}")
        self.loss = loss
        self.backbone = build_backbone(source, out_indices=(-1,), **options)
        self.feature_dim = self.backbone.channels[0]
        self.classifier = nn.Linear(self.feature_dim, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> logits, or (logits, features), or features; see the class."""
        features = self.backbone(x)[0].mean(dim=(2, 3))
        if not self.training:
            return features
        logits = self.classifier(features)
        return logits if self.loss == "softmax" else (logits, features)


def register_torchreid(name: str, factory: Factory) -> None:
    """Make ``torchreid.models.build_model(name, num_classes, loss=, pretrained=, use_gpu=)`` call ``factory``.

    torchreid keeps its models in a private dictionary and offers no way to add one. A name that it has is refused.
    """
    registry: dict[str, Factory] = vars(load_torchreid().models)["__model_factory"]
    if registry.get(name, factory) is not factory:
        raise NaswildError(f"torchreid already has a model {name!r}; register the backbone under another name")
    registry[name] = factory


def weights_of(name: str, source: Any, pretrained: bool) -> dict[str, bool]:
    """What torchreid's ``pretrained`` asks of the backbone ``source``; raises if there are no such weights."""
    if not pretrained or is_weights_file(source):
        return {}
    if isinstance(source, str) and is_timm_name(source):
        return {"pretrained": True}
    raise NaswildError(
        f"no weights come with {name}: build it with pretrained=False, or register a weights file as its source"
    )


def register_global_pool(name: str, source: Any, **options: Any) -> None:
    """Register :class:`GlobalPoolNetwork` on ``source`` (see :func:`backbones.build_backbone`) as ``name``.

    A weights file as ``source`` is always loaded. torchreid's ``pretrained=True``, its default, fetches timm's weights
    for a timm model and is refused for a cell that comes without a file: nothing starts from random weights unasked.
    """

    def factory(
        num_classes: int,
        loss: str = "softmax",
        pretrained: bool = True,
        use_gpu: bool = True,  # noqa: ARG001 (torchreid passes it to every model)
        **kwargs: Any,
    ) -> nn.Module:
        return GlobalPoolNetwork(source, num_classes, loss, **options, **kwargs, **weights_of(name, source, pretrained))

    register_torchreid(name, factory)


# torchreid has networks of its own called resnet50, densenet121, ...: timm's keep the prefix.
NAMES = (*zoo.names(), *(f"timm:{baseline.model}" for baseline in BASELINES))
for _name in NAMES:
    register_global_pool(_name, _name)
