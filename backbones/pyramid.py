"""What every backbone is here: images in, levels of a feature pyramid out, and the training habits of detectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.errors import NaswildError

if TYPE_CHECKING:
    from backbones.weights import LoadReport

Norm = Literal["BN", "SyncBN"]
# Mean and deviation of ImageNet's red, green and blue, 0 to 1: the normalisation of a backbone without a file.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Stride of level i of the pyramid: 4, 8, 16, 32.
STRIDES = (4, 8, 16, 32)


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
        self._frozen: tuple[nn.Module, ...] = ()

    def set_habits(self, frozen: Iterable[nn.Module], norm_eval: bool) -> None:
        """Keep ``frozen`` out of training; with ``norm_eval``, keep batch normalisation from using the batch."""
        self._frozen = tuple(frozen)
        self._norm_eval = norm_eval
        for module in self._frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Pyramid:
        """Switch to training; frozen parts and, with ``norm_eval``, the batch normalisations stay in evaluation."""
        super().train(mode)
        for module in self._resting() if mode else ():
            module.eval()
        return self

    def _resting(self) -> Iterator[nn.Module]:
        yield from self._frozen
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
    """``module`` normalised as built for "BN", with statistics shared by all processes for "SyncBN"."""
    if norm == "BN":
        return module
    if norm == "SyncBN":
        return convert_sync_batchnorm(module)  # timm's knows its layers that also hold the activation
    raise NaswildError(f"norm must be 'BN' or 'SyncBN', not {norm!r}")
