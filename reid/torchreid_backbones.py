"""torchreid's own networks (resnet50, osnet_x1_0, ...) as backbones of our task, to be compared with."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from backbones.probe import PROBE_SIDE, parameters_behind, probe
from backbones.pyramid import Pyramid
from backbones.torchreid_import import load_torchreid
from backbones.unstride import unstride
from nas.errors import NaswildError, unknown


class _FeatureMaps(nn.Module):
    """A torchreid network up to its last feature map."""

    pretrained_cfg: ClassVar = {"input_size": (3, 2 * PROBE_SIDE, 2 * PROBE_SIDE), "fixed_input_size": True}

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.model.featuremaps(images)]


class TorchreidBackbone(Pyramid):
    """The network ``name`` of torchreid's registry, with new weights, as a pyramid of one level: its last feature map.

    ``last_stride=1`` takes the last stride out of a network that ends at stride 32; one that ends at 16 (OSNet) stays
    as it is. Embedding and classifier are dropped. Raises :class:`NaswildError` if the network has no feature map.
    """

    def __init__(self, name: str, last_stride: int = 1) -> None:
        super().__init__()
        models = load_torchreid().models
        known = vars(models)["__model_factory"]
        if name not in known:
            raise unknown("torchreid model", name, known)
        model = models.build_model(name, num_classes=1, pretrained=False, use_gpu=False)
        if not hasattr(model, "featuremaps"):
            raise NaswildError(
                f"torchreid's {name} does not give its feature map, so that PCB cannot cut it into parts"
            )
        self.net = _FeatureMaps(model)
        _drop_unused(self.net)
        level = probe(self.net, 3)[0]
        stride = 2 * PROBE_SIDE // level.shape[-1]
        if last_stride == 1 and stride == 32:
            if not unstride(self.net, 0, 3):
                raise NaswildError(f"torchreid's {name} cannot keep its last level at stride 16; use last_stride=2")
            stride = 16
        self.out_indices, self.channels, self.strides = (3,), (level.shape[1],), (stride,)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(b, 3, h, w) -> [(b, channels, h / stride, w / stride)]."""
        return self.net(images)


def _drop_unused(net: _FeatureMaps) -> None:
    """Take out the parts behind the feature map: they would count as parameters that never learn."""
    needed = parameters_behind(probe(net, 3))
    for name, child in list(net.model.named_children()):
        own = set(child.parameters())
        if own and not own & needed:
            setattr(net.model, name, nn.Identity())
