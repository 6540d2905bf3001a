"""Base of all backbones: images to levels of a feature pyramid, with freezing and ``norm_eval`` for detectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from backbones.group_norm import grouped
from backbones.sync_norm import synchronised
from nas.errors import NaswildError
from nas.genotype import Genotype

Norm = Literal["BN", "SyncBN", "GN"]
# Mean and deviation of ImageNet's red, green and blue, 0 to 1: the normalisation of a backbone without a file.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# The same of CIFAR-10, with which the DARTS family trains there.
CIFAR_MEAN = (0.49139968, 0.48215827, 0.44653124)
CIFAR_STD = (0.24703233, 0.24348505, 0.26158768)
# Stride of level i of the pyramid: 4, 8, 16, 32.
STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class LoadReport:
    """What loading did: how many tensors matched, and how many of the file were left out for which reason."""

    path: str
    matched: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.path}: {self.matched} tensors matched, 0 missing, 0 unexpected"
        if self.left_out:
            text += "; left out: " + ", ".join(f"{reason} ({n})" for reason, n in sorted(self.left_out.items()))
        return text


class Pyramid(nn.Module):
    """Base of :class:`CellBackbone` and :class:`TimmBackbone`: ``forward(x) -> list[Tensor]``, one tensor a level.

    Attributes:
        out_indices: The levels that ``forward`` returns, in that order.
        channels: Channels of each of them.
        strides: Stride to the input of each of them.
        mean, std: Normalisation that the input expects, on the scale 0 to 1.
        load_report: What was loaded, if the weights come from a file.
    """

    out_indices: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    load_report: LoadReport | None = None

    def __init__(self) -> None:
        super().__init__()
        self._norm_eval = False
        self._frozen: tuple[str, ...] = ()

    def set_habits(self, frozen: Iterable[nn.Module], norm_eval: bool) -> None:
        """Keep ``frozen`` out of training; with ``norm_eval``, keep batch normalisation from using the batch."""
        kept = set(frozen)
        # By name: others put a new module into the place of a batch normalisation (mmengine's revert_sync_batchnorm).
        self._frozen = tuple(name for name, module in self.named_modules() if module in kept)
        self._norm_eval = norm_eval
        for module in kept:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Pyramid:
        """Switch to training; frozen parts and, with ``norm_eval``, the batch normalisations stay in evaluation."""
        super().train(mode)
        for module in self._resting() if mode else ():
            module.eval()
        return self

    def _resting(self) -> Iterator[nn.Module]:
        yield from (self.get_submodule(name) for name in self._frozen)
        if self._norm_eval:
            yield from (module for module in self.modules() if isinstance(module, _BatchNorm))

    def weight_names(self, file_keys: Iterable[str]) -> dict[str, str]:  # noqa: ARG002 (for those that rename)
        """For each tensor of this module the name that it has in a weights file."""
        return {key: key for key in self.state_dict()}

    def leftover(self, key: str) -> str | None:
        """Why this backbone has no use for the tensor ``key`` of a weights file; None if that cannot be explained."""
        raise NotImplementedError


def take_levels(out_indices: Sequence[int], count: int, what: str) -> tuple[int, ...]:
    """``out_indices`` as numbers from 0; negative ones count from the last of ``count`` levels."""
    if not isinstance(out_indices, Sequence) or isinstance(out_indices, str):
        raise NaswildError(f"{what}: out_indices is a list of levels, e.g. (3,), not {out_indices!r}")
    if any(type(index) is not int for index in out_indices):
        raise NaswildError(f"{what}: out_indices {out_indices!r}: levels are whole numbers, 0 to {count - 1}")
    if not out_indices:
        raise NaswildError(f"{what}: out_indices is empty; ask for at least one level of 0 to {count - 1}")
    for index in out_indices:
        if not -count <= index < count:
            raise NaswildError(
                f"{what}: out_indices {tuple(out_indices)}: there is no level {index}, only 0 to {count - 1}"
            )
    levels = tuple(index % count for index in out_indices)
    if len(set(levels)) != len(levels):
        raise NaswildError(f"{what}: out_indices {tuple(out_indices)} names a level twice")
    return levels


def with_norm(module: nn.Module, norm: str) -> nn.Module:
    """``module`` as built for "BN", with statistics of all processes for "SyncBN", normalised by groups for "GN"."""
    if norm == "BN":
        return module
    if norm == "SyncBN":
        return synchronised(module)
    if norm == "GN":
        return grouped(module)
    raise NaswildError(f"norm must be 'BN', 'SyncBN' or 'GN', not {norm!r}")


# What mmdet's or timm's backbones call their options, and what to write here.
_ELSEWHERE = {
    "with_cp": "checkpointing=True",
    "norm_cfg": 'norm="SyncBN" (or "BN", "GN")',
    "in_chans": "in_channels",
    "drop_path_rate": "drop_path",
    "pretrained": 'weights="FILE.safetensors" or init_cfg=dict(type="Pretrained", checkpoint="FILE.safetensors")',
}


def refuse_options(options: Iterable[str], what: str) -> None:
    """Raise for the first of ``options``, with the name that it has here if another library calls it so."""
    for name in options:
        instead = f"write {_ELSEWHERE[name]}" if name in _ELSEWHERE else "leave it out"
        raise NaswildError(f"{what} has no option {name!r}: {instead}")


def agreed(shape: dict[str, Any], options: dict[str, Any], file: object) -> dict[str, Any]:
    """``options`` beside the ``shape`` that a weights file fixes; an option that says otherwise is refused."""
    for name in shape.keys() & options.keys():
        given = Genotype.load(options[name]) if name == "genotype" else options[name]
        if given != shape[name]:
            found = "" if name == "genotype" else f" ({shape[name]})"
            raise NaswildError(f"{file} holds another {name}{found} than {options[name]!r}: leave {name}= out")
    return options | shape
