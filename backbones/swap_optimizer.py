"""The optimiser's settings for single layers (mmengine's ``paramwise_cfg``) once the layers belong to another backbone.

A key of ``custom_keys`` applies to every parameter whose name contains it; of several the longest one counts, and a
parameter with a key escapes ``norm_decay_mult`` and its like (``mmengine.optim.DefaultOptimWrapperConstructor``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# mmdet's constructor for ConvNeXt alone: rates that fall from layer to layer, no decay of vectors.
_LAYER_DECAY = "LearningRateDecayOptimizerConstructor"
_LAYER_DECAY_KEYS = ("decay_rate", "decay_type", "num_layers")
# Keys that mean a kind of layer anywhere, in neck and heads too.
_KINDS = ("norm", "bn", "bias")
_NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def rewrite_optimizer(wrapper: Any, old: nn.Module, new: nn.Module, *, trained: bool) -> list[str]:
    """Fit ``wrapper``, the config's ``optim_wrapper`` for the ``old`` backbone, to the ``new`` one; lists the changes.

    - The constructor that only knows ConvNeXt goes; its rule for vectors (no weight decay) stays.
    - A key for the whole backbone stays if the new one is ``trained``. Random weights learn at the full rate.
    - A key for some layers of the old backbone goes, unless it means a kind of layer (``norm``).
    - If the norms of the old backbone had no weight decay, those of the new one have none.
    """
    if not wrapper:
        return []
    changes = _drop_layer_decay(wrapper)
    paramwise = wrapper.get("paramwise_cfg")
    if not paramwise:
        return changes
    exempt = _norms_without_decay(paramwise, old)
    changes += _drop_keys(paramwise.get("custom_keys") or {}, _names(old), trained)
    if "custom_keys" in paramwise and not paramwise["custom_keys"]:
        del paramwise["custom_keys"]
    if exempt and not _norms_without_decay(paramwise, new):
        changes += _exempt(paramwise, new)
    return changes


def _drop_layer_decay(wrapper: Any) -> list[str]:
    constructor = str(wrapper.get("constructor"))
    if constructor.rpartition(".")[2] != _LAYER_DECAY:
        return []
    del wrapper["constructor"]
    paramwise = wrapper.get("paramwise_cfg") or {}
    gone = {key: paramwise.pop(key) for key in _LAYER_DECAY_KEYS if key in paramwise}
    wrapper["paramwise_cfg"] = {**paramwise, "norm_decay_mult": 0.0, "bias_decay_mult": 0.0}
    return [
        f"optim_wrapper.constructor: {constructor} removed with {gone}: it knows the layers of ConvNeXt only; norms "
        f"and biases stay without weight decay"
    ]


def _drop_keys(keys: Any, names: list[str], trained: bool) -> list[str]:
    """Remove the keys that no longer mean anything, or no longer what they did; one line for each reason."""
    place = "optim_wrapper.paramwise_cfg.custom_keys"
    gone: dict[str, list[str]] = {}
    changes = []
    for key, setting in list(keys.items()):
        hits = [key in name for name in names]
        if all(hits) and trained:
            changes.append(f"{place}: {key} {dict(setting)} kept, the new backbone is trained too")
        elif all(hits):
            gone.setdefault("random weights learn at the full rate", []).append(f"{key} {dict(keys.pop(key))}")
        elif key.startswith("backbone.") or (any(hits) and key not in _KINDS):
            gone.setdefault("layers of the old backbone", []).append(f"{key} {dict(keys.pop(key))}")
    return changes + [f"{place}: removed ({why}): {', '.join(found)}" for why, found in gone.items()]


def _names(backbone: nn.Module) -> list[str]:
    return [f"backbone.{name}" for name, _ in backbone.named_parameters()]


def _norm_names(backbone: nn.Module) -> list[str]:
    """The layers of normalisation that train."""
    return [
        f"backbone.{name}"
        for name, module in backbone.named_modules()
        if isinstance(module, _NORMS) and any(p.requires_grad for p in module.parameters(recurse=False))
    ]


def _norms_without_decay(paramwise: Any, backbone: nn.Module) -> bool:
    """Whether the settings, or for lack of norms that train their general rule, spare norms the weight decay."""
    norms = _norm_names(backbone)
    if not norms:
        return paramwise.get("norm_decay_mult") == 0
    return all(_decay(paramwise, f"{name}.weight") == 0 for name in norms)


def _decay(paramwise: Any, name: str) -> float:
    key = _key_of(paramwise, name)
    found = paramwise.get("norm_decay_mult") if key is None else paramwise["custom_keys"][key].get("decay_mult")
    return 1.0 if found is None else float(found)


def _key_of(paramwise: Any, name: str) -> str | None:
    """The key that counts for the parameter ``name``."""
    keys: Iterable[str] = sorted(sorted(paramwise.get("custom_keys") or {}), key=len, reverse=True)
    return next((key for key in keys if key in name), None)


def _exempt(paramwise: Any, backbone: nn.Module) -> list[str]:
    """No weight decay for norms: by the general rule where that reaches them, else by a key for each of them."""
    kept = {name: _key_of(paramwise, f"{name}.weight") for name in _norm_names(backbone)}
    for name, key in kept.items():
        if key is not None:
            paramwise["custom_keys"][f"{name}."] = {**paramwise["custom_keys"][key], "decay_mult": 0.0}
    if None in kept.values():
        paramwise["norm_decay_mult"] = 0.0
    return ["optim_wrapper.paramwise_cfg: norms of the new backbone have no weight decay, like those of the old one"]
