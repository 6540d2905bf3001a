"""The hand-made and searched networks that the paper compares with, each by the name under which timm builds it here.

Most are timm's own. Three that timm lacks are registered by importing this module, which ``import backbones`` does:
ProxylessNAS (GPU) as an architecture of timm's EfficientNet builder, and torchvision's ShuffleNetV2 and GoogLeNet
(Inception V1). All of them are then backbones in every task, go into mmdet configs and train as classifiers.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torchvision
from timm.layers import create_classifier
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn import functional

from backbones.pyramid import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["googlenet", "proxylessnas_gpu", "shufflenet_v2_x2_0"]


class Baseline(NamedTuple):
    """A network of the paper: its name there and in timm's registry, and what differs from what the paper used."""

    paper: str
    model: str
    tables: tuple[int, ...]
    differs: str = ""


BASELINES = (
    Baseline("ResNet-50", "resnet50", (5,)),
    Baseline("ResNet-101", "resnet101", (4,)),
    Baseline("VGG-16", "vgg16", (4,), "the five stages of convolutions; SSD's own converted fc6 and fc7 are mmdet's"),
    Baseline("DenseNet", "densenet121", (1,), "the ImageNet network; Table 1 has DenseNet-BC for CIFAR"),
    Baseline("Inception V1", "googlenet", (3,), "torchvision's, with batch normalisation, without auxiliary heads"),
    Baseline("MobileNet V1", "mobilenetv1_100", (3, 4)),
    Baseline("MobileNet V2", "mobilenetv2_100", (4,)),
    Baseline("MnasNet-92", "mnasnet_100", (3,), "MnasNet-B1, the published network without squeeze-and-excitation"),
    Baseline("MnasNet-A1", "semnasnet_100", (4,)),
    Baseline("ShuffleNet V2 2x", "shufflenet_v2_x2_0", (3,), "torchvision's"),
    Baseline("ProxylessNAS (GPU)", "proxylessnas_gpu", (3,), "written down for timm's builder; no weights"),
    Baseline("NASNet-A", "nasnetalarge", (3,), "the large network; for the mobile size take the zoo's cell nasnet_a"),
    Baseline("PNAS", "pnasnet5large", (3,), "the large network; for the mobile size take the zoo's cell pnas"),
)

# ProxylessNAS (arXiv 1812.00332), the network for GPUs of its figure 4 in the notation of timm's builder: blocks that
# the search skipped are left out, k is the depthwise kernel, e the expansion, c the channels.
_PROXYLESS_GPU = [
    ["ds_r1_k3_s1_e1_c24_noskip"],
    ["ir_r1_k5_s2_e3_c32"],
    ["ir_r1_k7_s2_e3_c56", "ir_r1_k3_s1_e3_c56"],
    ["ir_r1_k7_s2_e6_c112", "ir_r1_k5_s1_e3_c112", "ir_r1_k5_s1_e6_c128", "ir_r1_k3_s1_e3_c128", "ir_r1_k5_s1_e3_c128"],
    ["ir_r1_k7_s2_e6_c256", "ir_r2_k7_s1_e6_c256", "ir_r1_k5_s1_e6_c256", "ir_r1_k7_s1_e6_c432_noskip"],
]


class TorchvisionNetwork(nn.Module):
    """A torchvision classifier that runs its children in order, with timm's interface; tensor names stay torchvision's.

    Args:
        build: Makes torchvision's network.
        levels: Name of the child that ends each level, with its channels and its stride.
        num_classes, in_chans, global_pool, drop_rate: As in timm.
    """

    def __init__(
        self,
        build: Any,
        levels: dict[str, tuple[int, int]],
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        network = build()
        self.in_chans, self.drop_rate, self._pool_type = in_chans, drop_rate, global_pool
        self.num_features = self.head_hidden_size = network.fc.in_features
        self.feature_info = [
            {"num_chs": channels, "reduction": stride, "module": name} for name, (channels, stride) in levels.items()
        ]
        self._stages = [name for name, _ in network.named_children() if name not in ("avgpool", "dropout", "fc")]
        for name in self._stages:
            self.add_module(name, network.get_submodule(name))
        if in_chans != 3:
            _take_channels(self, in_chans)
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh classifier for ``num_classes`` classes, or none for 0."""
        self.num_classes = num_classes
        self._pool_type = self._pool_type if global_pool is None else global_pool
        self.global_pool, self.fc = create_classifier(
            self.num_features, num_classes, pool_type=self._pool_type, use_conv=not self._pool_type
        )

    def get_classifier(self) -> nn.Module:
        """The last linear layer (an identity without classes)."""
        return self.fc

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> the last map (N, num_features, H / 32, W / 32)."""
        for name in self._stages:
            x = self.get_submodule(name)(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last map -> logits (N, num_classes), or pooled features with ``pre_logits``."""
        x = functional.dropout(self.global_pool(x), self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, H, W) -> logits (N, num_classes)."""
        return self.forward_head(self.forward_features(x))


def _take_channels(network: nn.Module, in_chans: int) -> None:
    """Give the first convolution another number of input channels."""
    name, first = next((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d))
    shape = (first.kernel_size, first.stride, first.padding)
    other = nn.Conv2d(in_chans, first.out_channels, *shape, bias=first.bias is not None)  # type: ignore[arg-type]
    parent, _, child = name.rpartition(".")
    network.get_submodule(parent).add_module(child, other)


def _cfg(classifier: str, first_conv: str, **more: Any) -> dict[str, Any]:
    shared = {"num_classes": 1000, "input_size": (3, 224, 224), "pool_size": (7, 7), "crop_pct": 0.875}
    statistics = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    return shared | statistics | {"classifier": classifier, "first_conv": first_conv} | more


_HALF = (0.5, 0.5, 0.5)  # GoogLeNet's weights expect what its transform_input makes of ImageNet's statistics
default_cfgs = generate_default_cfgs(
    {
        "proxylessnas_gpu": _cfg("classifier", "conv_stem"),
        "shufflenet_v2_x2_0": _cfg(
            "fc",
            "conv1.0",
            url=torchvision.models.ShuffleNet_V2_X2_0_Weights.IMAGENET1K_V1.url,
            interpolation="bilinear",
        ),
        "googlenet": _cfg(
            "fc", "conv1.conv", url=torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1.url, mean=_HALF, std=_HALF
        ),
    }
)


@register_model
def proxylessnas_gpu(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ProxylessNAS searched for the latency of a GPU: 7.1 M parameters, 465 M multiply-adds (Table 3)."""
    shape = {"block_args": decode_arch_def(_PROXYLESS_GPU), "stem_size": 40, "num_features": 1728}
    feature_cfg = {"feature_cls": "getter"}
    kwargs = {"act_layer": nn.ReLU6, **shape, **kwargs}
    return build_model_with_cfg(EfficientNet, "proxylessnas_gpu", pretrained, feature_cfg=feature_cfg, **kwargs)


def _torchvision(variant: str, pretrained: bool, kwargs: dict[str, Any]) -> nn.Module:
    return build_model_with_cfg(
        TorchvisionNetwork,
        variant,
        pretrained,
        pretrained_filter_fn=_without_auxiliary_heads,
        feature_cfg={"out_indices": (0, 1, 2, 3)},
        **kwargs,
    )


def _without_auxiliary_heads(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:  # noqa: ARG001
    return {key: tensor for key, tensor in state.items() if not key.startswith(("aux1.", "aux2."))}


@register_model
def shufflenet_v2_x2_0(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """ShuffleNetV2 with twice the channels (arXiv 1807.11164), torchvision's."""
    levels = {"maxpool": (24, 4), "stage2": (244, 8), "stage3": (488, 16), "stage4": (976, 32)}
    build = torchvision.models.shufflenet_v2_x2_0
    return _torchvision("shufflenet_v2_x2_0", pretrained, {"build": build, "levels": levels, **kwargs})


@register_model
def googlenet(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Inception V1 (arXiv 1409.4842) with batch normalisation, torchvision's, without its auxiliary heads."""
    levels = {"conv3": (192, 4), "inception3b": (480, 8), "inception4e": (832, 16), "inception5b": (1024, 32)}
    build = partial(torchvision.models.googlenet, aux_logits=False, init_weights=False)
    return _torchvision("googlenet", pretrained, {"build": build, "levels": levels, **kwargs})
