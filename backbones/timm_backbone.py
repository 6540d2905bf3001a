"""Any timm model as a backbone: the baselines of the paper in every task, with no code of their own."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import timm
import torch
from timm.models._hub import load_model_config_from_hf, load_model_config_from_path
from torch import Tensor, nn
from torch.nn import functional

from backbones.metadata import TimmArchitecture
from backbones.probe import parameters_behind, probe
from backbones.pyramid import STRIDES, Norm, Pyramid, refuse_options, take_levels, with_norm
from backbones.unstride import unstride
from backbones.weights import load_into, read_metadata
from nas import zoo
from nas.errors import NaswildError, unknown

_PREFIX = "timm:"
# Sources of timm's own that name weights: a repository, fetched when it is asked for, and a folder of save_for_hf.
_WITH_WEIGHTS = ("hf-hub:", "local-dir:")


class Tap(NamedTuple):
    """Where a level of the pyramid is read: a feature of the timm model, and the stride that this feature has."""

    feature: int
    stride: int


class TimmBackbone(Pyramid):
    """A timm model without its classifier: (N, in_channels, H, W) -> one tensor for each of ``out_indices``.

    Level i is the model's last feature at stride 4, 8, 16, 32. A model that lacks one of these strides (a plain vision
    transformer has only 16) gives the nearest feature that it has, resampled without parameters. Parameters that no
    level asked for depends on are not trained.

    Args:
        name: Name in timm's registry, with or without the prefix ``timm:``; or ``local-dir:FOLDER`` (what timm's
            ``save_for_hf`` wrote) or ``hf-hub:OWNER/NAME``, which bring their weights.
        out_indices: Levels to return; negative ones count from the last.
        last_stride: 1 keeps the last level at the resolution of the one before (PCB, section 5.4.2): its strided layers
            lose their stride, or timm's ``output_stride`` does it where they cannot.
        pretrained: Fetch timm's weights; nothing is downloaded otherwise.
        in_channels: Channels of the input.
        frozen_stages: Everything that the levels up to this one depend on is kept as it is; -1 freezes nothing.
        norm_eval: Batch normalisation uses its running statistics in training too.
        norm: ``"BN"`` (what the model has), ``"SyncBN"`` or ``"GN"``.
        checkpointing: timm's gradient checkpointing.
        drop_path: timm's ``drop_path_rate``.
        model_options: Further arguments of ``timm.create_model``.
    """

    def __init__(
        self,
        name: str,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        last_stride: int = 2,
        *,
        pretrained: bool = False,
        in_channels: int = 3,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm: Norm = "BN",
        checkpointing: bool = False,
        drop_path: float = 0.0,
        **model_options: Any,
    ) -> None:
        super().__init__()
        self.name = name.removeprefix(_PREFIX)
        self.out_indices = take_levels(out_indices, len(STRIDES), f"timm model {self.name}")
        refuse_options(model_options.keys() & {"with_cp", "norm_cfg", "init_cfg", "in_chans"}, "TimmBackbone")
        pretrained = pretrained or names_weights(self.name)
        _check(self.name, last_stride, frozen_stages, pretrained)
        options = {"in_chans": in_channels, **({"drop_path_rate": drop_path} if drop_path else {}), **model_options}
        taps, flexible = _survey(self.name, options)
        frozen_level = min(frozen_stages, max(self.out_indices))
        levels = {*self.out_indices, frozen_level} - {-1}
        self._features = sorted({taps[level].feature for level in levels})
        options = {"pretrained": pretrained, "out_indices": self._features, **flexible, **options}
        net = timm.create_model(self.name, features_only=True, **options)
        if last_stride == 1:
            taps[-1], net = self._keep_last_resolution(taps[-1], net, options)
        self.net: Any = with_norm(net, norm)
        self._taps = [taps[level] for level in self.out_indices]
        self.strides = tuple(STRIDES[min(level, last_stride + 1)] for level in self.out_indices)
        self.mean, self.std = tuple(net.pretrained_cfg["mean"]), tuple(net.pretrained_cfg["std"])
        if checkpointing:
            net.set_grad_checkpointing(True)
        self.set_habits(self._settle(taps, frozen_level, options["in_chans"]), norm_eval)

    def _keep_last_resolution(self, tap: Tap, net: nn.Module, options: dict[str, Any]) -> tuple[Tap, nn.Module]:
        """The network whose last level has stride 16: as it is, with layers patched, or as timm builds it."""
        finest = STRIDES[-1] // 2
        if tap.stride != STRIDES[-1] or tap.feature not in self._features:
            return tap, net
        if unstride(net, self._features.index(tap.feature), options["in_chans"]):
            return Tap(tap.feature, finest), net
        refusal = NaswildError(
            f"timm model {self.name} cannot keep its last level at stride {finest}: no strided layer can lose its "
            f"stride and the model has no output_stride; use last_stride=2"
        )
        try:
            dense: Any = timm.create_model(self.name, features_only=True, **options, output_stride=finest)
        except (TypeError, AssertionError, NotImplementedError) as error:
            raise refusal from error
        if dense.feature_info.reduction()[self._features.index(tap.feature)] != finest:
            raise refusal  # a model that ignores the argument
        return Tap(tap.feature, finest), dense

    def _settle(self, taps: list[Tap], frozen_level: int, in_channels: int) -> list[nn.Module]:
        """Read off one forward pass: the channels, the parameters that nothing needs, and the modules to freeze."""
        features = dict(zip(self._features, probe(self.net, in_channels), strict=True))
        outputs = {tap: self._oriented(features[tap.feature]) for tap in taps if tap.feature in features}
        self.channels = tuple(outputs[tap].shape[1] for tap in self._taps)
        needed = parameters_behind(outputs[tap] for tap in self._taps)
        frozen = parameters_behind(outputs[tap] for tap in taps[: frozen_level + 1] if tap in outputs)
        for parameter in self.net.parameters():
            if parameter not in needed or parameter in frozen:
                parameter.requires_grad_(False)
        return [module for module in self.net.modules() if _all_in(module, frozen)]

    def _oriented(self, feature: Tensor) -> Tensor:
        """(N, C, H, W), also from models that compute with the channels last."""
        return feature.permute(0, 3, 1, 2) if str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC") else feature

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> TimmBackbone:
        """The backbone of a weights file, which gives model, arguments and normalisation; ``options`` are the rest."""
        metadata = read_metadata(path)
        architecture = metadata.architecture
        if not isinstance(architecture, TimmArchitecture):
            raise NaswildError(f"{path} holds a network of cells; build it with CellBackbone.from_file")
        backbone = cls(architecture.name, **architecture.options(options, path))
        backbone.load_report = load_into(backbone, path)
        backbone.mean, backbone.std = metadata.mean, metadata.std
        return backbone

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, H, W) -> one (N, channels[i], H / strides[i], W / strides[i]) for each level."""
        features = dict(zip(self._features, self.net(x)))
        return [
            _resampled(self._oriented(features[tap.feature]), tap.stride, stride, x)
            for tap, stride in zip(self._taps, self.strides)
        ]

    def weight_names(self, file_keys: Iterable[str]) -> dict[str, str]:
        """timm's feature wrappers rename modules (``features.0`` to ``features_0``) or nest them; undo that."""
        own = set(self.state_dict())
        renamed = {}
        for key in file_keys:
            for name in (key, key.replace(".", "_", 1), f"model.{key}", f"body.{key}"):
                if f"net.{name}" in own:
                    renamed[f"net.{name}"] = key
        return renamed

    def leftover(self, key: str) -> str | None:  # noqa: ARG002 (the file is known to hold this model and nothing else)
        """The file holds the whole classification model: what the features do not take comes after them."""
        return "after the last level"


def names_weights(source: str) -> bool:
    """Whether ``source`` is a repository (``hf-hub:``) or a folder (``local-dir:``) with a model of timm's format."""
    return source.startswith(_WITH_WEIGHTS)


def timm_config(source: str) -> tuple[dict[str, Any], str]:
    """``pretrained_cfg`` and architecture that the config of a repository or folder names."""
    kind, _, place = source.partition(":")
    read = load_model_config_from_hf if kind == "hf-hub" else load_model_config_from_path
    try:
        cfg, architecture, _ = read(place)
    except (OSError, ValueError, LookupError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NaswildError(f"{source} has no config that can be read: {reason}") from error
    return cfg, architecture


def is_timm_name(source: str) -> bool:
    """Whether ``source`` means a timm model: by its prefix, or because timm knows it and the zoo does not."""
    return source.startswith((_PREFIX, *_WITH_WEIGHTS)) or (source not in zoo.names() and timm.is_model(source))


def _check(name: str, last_stride: int, frozen_stages: int, pretrained: object) -> None:
    if not names_weights(name) and not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    if not isinstance(pretrained, bool):
        raise NaswildError(
            f"pretrained must be True (timm's weights) or False, not {pretrained!r}: files go to weights="
        )
    if pretrained and not names_weights(name) and not _has_weights(name):
        raise NaswildError(f"timm has no weights for {name}: use pretrained=False, or a weights file")
    if last_stride not in (1, 2):
        raise NaswildError(f"last_stride must be 1 or 2, not {last_stride}")
    if not -1 <= frozen_stages < len(STRIDES):
        raise NaswildError(f"frozen_stages must be -1 (none) to {len(STRIDES) - 1}, not {frozen_stages}")


def _has_weights(name: str) -> bool:
    cfg = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    return cfg is not None and bool(cfg.has_weights)


def _survey(name: str, options: dict[str, Any]) -> tuple[list[Tap], dict[str, Any]]:
    """Where each level is read, and the arguments that let the model take images of any size. Nothing is allocated."""
    if names_weights(name):
        timm_config(name)
    try:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False, **options)
    except TypeError as error:
        raise NaswildError(f"timm model {name} does not take these options: {error}") from error
    info = getattr(model, "feature_info", None)
    if not info:
        raise NaswildError(f"timm model {name} has no feature information: it cannot be a backbone")
    taps = [Tap(i, int(level["reduction"])) for i, level in enumerate(info)]
    nearest = [min(taps, key=partial(_distance, stride)) for stride in STRIDES]
    accepted = inspect.signature(type(model)).parameters
    flexible = {"dynamic_img_size": True, "dynamic_img_pad": True, "strict_img_size": False}
    return nearest, {key: value for key, value in flexible.items() if key in accepted and key not in options}


def _distance(stride: int, tap: Tap) -> tuple[float, int]:
    """Octaves between a feature and a stride; of equal features the deeper one is nearer."""
    return abs(math.log2(tap.stride / stride)), -tap.feature


def _all_in(module: nn.Module, parameters: set[Tensor]) -> bool:
    own = list(module.parameters())
    return bool(own) and all(parameter in parameters for parameter in own)


def _resampled(feature: Tensor, stride: int, wanted: int, image: Tensor) -> Tensor:
    """``feature`` at the resolution of ``wanted``: averaged to be coarser, interpolated to be finer."""
    if stride == wanted:
        return feature
    size = (math.ceil(image.shape[2] / wanted), math.ceil(image.shape[3] / wanted))
    if stride < wanted:
        return functional.adaptive_avg_pool2d(feature, size)
    return functional.interpolate(feature, size, mode="bilinear", align_corners=False)
