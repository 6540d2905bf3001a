"""Checkpoints of the DARTS family, read safely and rewritten as weights files of ours, with a proof.

The checkpoint holds no genotype, so its name is asked for; stem, channels, cells and classes are read off the tensors.
Nothing of the file is executed: it is unpickled with ``weights_only=True``. The new network must then give the logits
that the old tensors give by the papers' definitions (:mod:`backbones.darts_forward`).
"""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.darts_forward import darts_logits
from backbones.darts_names import cell_count, renamed, unread
from backbones.metadata import CellArchitecture, WeightsMetadata
from backbones.pyramid import IMAGENET_MEAN, IMAGENET_STD
from backbones.weights import save_weights
from nas.errors import NaswildError
from nas.genotype import Genotype
from nas.network import Stem

# Normalisation with which the DARTS family trains on CIFAR-10 (its per-channel mean and deviation, 0 to 1).
CIFAR_MEAN = (0.49139968, 0.48215827, 0.44653124)
CIFAR_STD = (0.24703233, 0.24348505, 0.26158768)
# What training scripts store beside the weights and what is no danger to rebuild: numbers of NumPy, parsed arguments.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int64DType,
]
_numpy_scalar = np.float64(0).__reduce__()[0]
_HARMLESS += [(_numpy_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
_WRAPPERS = ("state_dict", "model", "net", "model_state_dict")
# What the restricted unpickler raises when bytes are missing or flipped.
_DAMAGED = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, ArithmeticError, MemoryError, struct.error),
)
_TOLERANCE = 1e-4  # of the largest logit
# The auxiliary head of the family's ImageNet networks lacks this layer; such a head cannot be ours.
_AUXILIARY_END = "auxiliary_head.features.6.weight"


@dataclass(frozen=True)
class Conversion:
    """What a conversion did: the new file's story, tensors taken and left out (and why), and the proof's difference."""

    path: str
    metadata: WeightsMetadata
    taken: int
    left_out: Mapping[str, int]
    difference: float

    def __str__(self) -> str:
        shape = self.metadata.architecture
        assert isinstance(shape, CellArchitecture)
        left = "".join(f"; left out: {reason} ({n})" for reason, n in self.left_out.items())
        return (
            f"{self.path}: {self.taken} tensors of a network with the {shape.stem} stem, {shape.cells} cells, "
            f"{shape.channels} channels and {self.metadata.num_classes} classes{left}; "
            f"forward pass differs from the checkpoint's by {self.difference:.1e}"
        )


def convert(
    checkpoint: str | os.PathLike[str],
    genotype: Any,
    out: str | os.PathLike[str],
    *,
    classes: tuple[str, ...] = (),
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    input_size: tuple[int, int] | None = None,
) -> Conversion:
    """Write the network of ``checkpoint``, whose cells are ``genotype``, to the weights file ``out``.

    Args:
        checkpoint: A file of ``torch.save``: tensors by name, bare or in ``state_dict``, with or without ``module.``.
        genotype: Anything that :meth:`nas.Genotype.load` takes; its edges in the order of the code that made the file.
        out: Where to write; nothing is left there if the proof fails.
        classes, mean, std, input_size: For the header; by default those of CIFAR-10 or ImageNet, as the stem says.

    Raises :class:`NaswildError` for a file that is damaged, would execute something, or belongs to another network.
    """
    genotype = Genotype.load(genotype)
    source = read_checkpoint(checkpoint)
    architecture = _architecture(source, genotype, checkpoint)
    network = architecture.build(len(source["classifier.weight"]), auxiliary=_AUXILIARY_END in source).eval()
    state, left_out = _translated(source, genotype, network.state_dict(), checkpoint)
    network.load_state_dict(state)
    cifar = architecture.stem == "cifar"
    difference = _prove(network, source, genotype, architecture, checkpoint)
    metadata = WeightsMetadata(
        architecture=architecture,
        num_classes=len(source["classifier.weight"]),
        classes=classes,
        mean=mean or (CIFAR_MEAN if cifar else IMAGENET_MEAN),
        std=std or (CIFAR_STD if cifar else IMAGENET_STD),
        input_size=(architecture.in_channels, *(input_size or ((32, 32) if cifar else (224, 224)))),
        recipe={"converted_from": Path(checkpoint).name},
    )
    save_weights(out, network, metadata)
    return Conversion(os.fspath(out), metadata, len(source) - sum(left_out.values()), left_out, difference)


def _architecture(source: Mapping[str, Tensor], genotype: Genotype, checkpoint: Any) -> CellArchitecture:
    """Stem, channels and cells as the tensors show them."""
    cifar, first, last = (source.get(f"{name}.weight") for name in ("stem.0", "stem0.0", "stem0.3"))
    cells = cell_count(source)
    if "classifier.weight" not in source or cells < 3 or (cifar is None and (first is None or last is None)):
        names = ", ".join(list(source)[:3])
        raise NaswildError(
            f"{checkpoint} is no network of the DARTS family: expected stem.0 or stem0.0, cells.N._ops and classifier, "
            f"found {names}, ..."
        )
    if cifar is not None:
        stem: Stem = "cifar"
        channels, in_channels = cifar.shape[0] // 3, cifar.shape[1]  # the stem has three times the channels
    else:
        assert first is not None
        assert last is not None
        stem, channels, in_channels = "imagenet", last.shape[0], first.shape[1]
    return CellArchitecture(
        genotype=genotype.to_dict(), stem=stem, channels=channels, cells=cells, in_channels=in_channels
    )


def _translated(
    source: Mapping[str, Tensor], genotype: Genotype, wanted: Mapping[str, Tensor], checkpoint: Any
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors under our names, and how many were left out for which reason; raises if the two do not fit."""
    cells = cell_count(source)
    ours = {key: renamed(key, genotype, cells) or "" for key in source}
    state = {ours[key]: tensor for key, tensor in source.items() if ours[key] in wanted}
    reasons = {key: _reason(key, genotype, cells) for key in source if ours[key] not in wanted}
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.zeros_like(tensor))  # unknown to PyTorch before 0.4.1
    faults = [f"{key} has no place in it" for key, reason in reasons.items() if reason is None]
    faults += [f"it needs {key}, which is not there" for key in wanted if key not in state]
    faults += [
        f"{key} is {tuple(tensor.shape)} instead of {tuple(wanted[ours[key]].shape)}"
        for key, tensor in source.items()
        if ours[key] in wanted and tensor.shape != wanted[ours[key]].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise NaswildError(f"{checkpoint} does not fit the genotype given: {'; '.join(faults[:3])}{more}")
    return state, dict(Counter(reason for reason in reasons.values() if reason is not None))


def _reason(key: str, genotype: Genotype, cells: int) -> str | None:
    if unread(key, genotype, cells):
        return "preprocessing of an input that no edge reads"
    if key.startswith("auxiliary_head."):
        return "auxiliary head without its second batch normalisation (serves training only)"
    return None


def _prove(
    network: nn.Module,
    source: Mapping[str, Tensor],
    genotype: Genotype,
    architecture: CellArchitecture,
    checkpoint: Any,
) -> float:
    """The largest difference of the logits, relative to the largest logit, on random images."""
    side = 32 if architecture.stem == "cifar" else 64
    images = torch.randn(2, architecture.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = darts_logits(source, genotype, images), network(images)
    difference = ((expected - found).abs().max() / expected.abs().max()).item()
    if not difference <= _TOLERANCE:  # also for NaN
        raise NaswildError(
            f"{checkpoint}: the converted network differs from its source by {difference:.1e} of the largest logit; "
            f"its weights are damaged (not finite)"
        )
    return difference


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a file of ``torch.save``, unwrapped and without ``module.``. Runs nothing that the file brings."""
    try:
        data = Path(path).read_bytes()
        # Only what is not allowed yet: leaving the block takes away what it names, also from whoever allowed it before.
        allowed = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([kind for kind in _HARMLESS if kind not in allowed]), _quiet():
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NaswildError(f"checkpoint {path} does not exist") from None
    except pickle.UnpicklingError as error:
        raise NaswildError(f"{path} is refused and nothing of it was run: {_objection(error)}") from error
    except _DAMAGED as error:
        raise NaswildError(f"{path} is no whole PyTorch checkpoint: {_first_sentence(error)}") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = {str(k).removeprefix("module."): v for k, v in content.items()} if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise NaswildError(f"{path} holds no table of tensors: expected a state_dict, bare or under {_WRAPPERS[0]!r}")
    return tensors


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PyTorch's remark on the pickle protocol: what cannot be read is an error here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
        yield


def _objection(error: Exception) -> str:
    """What the restricted unpickler refused. Its own text advises to load the file without restriction."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return (
        f"it names {named[1]}, where only tensors and plain values may be"
        if named
        else "damaged, or more than tensors and plain values"
    )


def _first_sentence(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
