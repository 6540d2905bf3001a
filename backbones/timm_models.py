"""Every cell of the zoo as a model of timm's registry, and ``cellnet`` for any other genotype.

``timm.create_model("pdarts_cifar10", num_classes=10)`` after ``import backbones``. By default it is the paper's
ImageNet network (48 channels, 14 cells); ``stem``, ``channels`` and ``cells`` change that. A weights file gives all of
it: ``timm.create_model("cellnet", pretrained=True, pretrained_cfg_overlay=dict(file="net.safetensors"))``. So does a
folder that timm's ``save_for_hf`` wrote, as ``local-dir:FOLDER``: genotype and size are in its config.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from backbones.metadata import CellArchitecture
from backbones.pyramid import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD
from backbones.timm_network import TimmCellNetwork
from backbones.weights import is_weights_file, read_metadata
from nas import zoo
from nas.errors import NaswildError
from nas.genotype import Genotype

_DEFAULT_CFG = {
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "pool_size": (7, 7),
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "first_conv": "body.stem0.0",
    "classifier": "classifier",
    "license": "apache-2.0",
}

# What differs with the stem for CIFAR: 32 pixels, a quarter of them at the last level, no border cut off.
_CIFAR_CFG = {
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "crop_pct": 1.0,
    "mean": CIFAR_MEAN,
    "std": CIFAR_STD,
}
_SHAPE = "network"  # our entry in timm's pretrained_cfg: genotype, stem, channels, cells

__all__ = ["cellnet"]
default_cfgs = generate_default_cfgs(dict.fromkeys(("cellnet", *zoo.names()), _DEFAULT_CFG))


def _create(variant: str, pretrained: bool, genotype: Any, kwargs: dict[str, Any]) -> nn.Module:
    overlay = kwargs.pop("pretrained_cfg_overlay", None) or {}
    shape = _recorded(kwargs)
    described: dict[str, Any] = {}
    if pretrained and is_weights_file(overlay.get("file")):
        shape, described = _described(overlay["file"], genotype)
    recorded = shape.pop("genotype", None)
    genotype = recorded if genotype is None else genotype
    kwargs = shape | kwargs
    if genotype is None:
        raise NaswildError(f"{variant} needs genotype=: a name of the zoo, a file or a text")
    cifar = kwargs.get("stem", "imagenet") == "cifar"
    # A config that came with the model knows its own input.
    by_stem = _CIFAR_CFG if cifar and not isinstance(kwargs.get("pretrained_cfg"), dict) else {}
    model = build_model_with_cfg(
        TimmCellNetwork,
        variant,
        pretrained,
        pretrained_cfg_overlay=by_stem | described | overlay,
        pretrained_filter_fn=_without_auxiliary,
        feature_cfg={"out_indices": tuple(range(3 if cifar else 4)), "feature_cls": "getter"},
        genotype=genotype,
        **kwargs,
    )
    if isinstance(model, TimmCellNetwork):
        model.pretrained_cfg[_SHAPE] = model.shape
    return model


def _recorded(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The shape in the config of a saved model, which timm passes on as ``pretrained_cfg``; taken out of ``kwargs``."""
    cfg = kwargs.get("pretrained_cfg")
    if not isinstance(cfg, dict):
        return {}
    kwargs["pretrained_cfg"] = {key: value for key, value in cfg.items() if key != _SHAPE}
    return dict(cfg.get(_SHAPE, {}))


def _described(file: str, genotype: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Shape of the network and entries of timm's ``pretrained_cfg`` as a weights file gives them."""
    metadata = read_metadata(file)
    if not isinstance(metadata.architecture, CellArchitecture):
        raise NaswildError(f"{file} holds the timm model {metadata.architecture.name!r}, not a network of cells")
    shape = metadata.architecture.shape
    if genotype is not None and Genotype.load(genotype) != shape["genotype"]:
        raise NaswildError(f"{file} holds another genotype than {genotype!r}; create it as 'cellnet'")
    shape.pop("in_channels")  # timm reads it from input_size and adapts the first convolution to in_chans
    cfg = metadata.model_dump(include={"num_classes", "input_size", "mean", "std"})
    stride = 4 if shape["stem"] == "cifar" else 32
    pool = tuple(-(-side // stride) for side in metadata.input_size[1:])
    return shape, cfg | {"pool_size": pool, "label_names": metadata.classes or None}


def _without_auxiliary(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:  # noqa: ARG001 (timm's signature)
    """The auxiliary head of a weights file serves training only."""
    return {key: tensor for key, tensor in state.items() if not key.startswith("auxiliary.")}


@register_model
def cellnet(pretrained: bool = False, genotype: Any = None, **kwargs: Any) -> nn.Module:
    """The network of any ``genotype``: a name of the zoo, a file or a text."""
    return _create("cellnet", pretrained, genotype, kwargs)


def _register(name: str) -> Callable[..., nn.Module]:
    def entry(pretrained: bool = False, genotype: Any = None, **kwargs: Any) -> nn.Module:
        if genotype is not None and Genotype.load(genotype) != zoo.genotype(name):
            raise NaswildError(f"{name} has cells of its own: create 'cellnet' for another genotype")
        return _create(name, pretrained, name, kwargs)

    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"The published cell {name!r} of the zoo."
    return register_model(entry)


for _name in zoo.names():
    _register(_name)
