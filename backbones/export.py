"""A network as one file for deployment: ONNX, TorchScript or ``torch.export``, checked before it is kept.

Batch normalisation is folded. The written file is read back and run (ONNX by ONNX Runtime) and must give what the
original network gives in eager mode. The batch size stays free, the image size is fixed.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import timm
import torch
from torch import Tensor, nn

from backbones.build import build_backbone
from backbones.fold import fold
from backbones.metadata import WeightsMetadata
from backbones.pyramid import Pyramid
from backbones.rewrite import is_network_of_cells, rewritten
from backbones.source import BackboneSource, parse_source
from backbones.weights import load_network, read_metadata
from nas import build_network
from nas.errors import NaswildError, require, unknown

Format = Literal["onnx", "torchscript", "exported"]
FORMATS: tuple[str, ...] = get_args(Format)
ENDINGS = {"onnx": ".onnx", "torchscript": ".pt", "exported": ".pt2"}
# How far the file's outputs may be from the eager network's, relative to the largest of them.
TOLERANCE = 1e-5
# The batch size of the example and of the check: another one shows that it is free.
_EXAMPLE_BATCH, _CHECK_BATCH = 2, 3


@dataclass(frozen=True)
class Export:
    """What was written: the file, its format, its size in bytes, and how far its outputs are from eager mode."""

    path: str
    format: str
    bytes: int
    outputs: tuple[str, ...]
    difference: float

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.format}, {self.bytes / 1e6:.1f} MB, outputs {', '.join(self.outputs)}, "
            f"differs from eager mode by {self.difference:.1e} of the largest output"
        )


class _Tuple(nn.Module):
    """A network whose outputs are always a tuple, as exporters want them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        out = self.network(images)
        return tuple(out) if isinstance(out, list | tuple) else (out,)


def export(
    source: Any,
    format: Format,
    out: str | os.PathLike[str],
    *,
    features: bool = False,
    input_size: int | tuple[int, int] | None = None,
    channels: int = 48,
    cells: int = 14,
    num_classes: int = 1000,
    out_indices: Sequence[int] = (0, 1, 2, 3),
) -> Export:
    """Write the network of ``source`` to ``out`` and check it.

    Args:
        source: A weights file, a name of the zoo, a genotype or a timm model (the last three with random weights).
        format: ``onnx``, ``torchscript`` or ``exported`` (``torch.export``).
        out: The file to write.
        features: Write the pyramid (outputs ``stride4``, ``stride8``, ...) instead of the classifier (``logits``).
        input_size: Side, or (height, width) in pixels; by default the weights file's, or 224.
        channels, cells, num_classes: Size of a network of cells that comes without a file.
        out_indices: The levels of the pyramid.

    Raises :class:`NaswildError` if the format is unknown or the file does not give the same outputs; then none is kept.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    found = parse_source(source).pyramid()
    metadata = read_metadata(found.value) if found.kind == "weights" else None
    if features:
        network: nn.Module = build_backbone(found, channels=channels, cells=cells, out_indices=out_indices)
    else:
        network = _classifier(found, channels, cells, num_classes)
    network.eval()
    names = [f"stride{stride}" for stride in network.strides] if isinstance(network, Pyramid) else ["logits"]
    images = torch.randn(_CHECK_BATCH, *_image(metadata, input_size), generator=torch.Generator().manual_seed(0))
    folded = _Tuple(rewritten(network) if is_network_of_cells(network) else fold(network)).eval()
    write, read = _FORMATS[format]
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path(out).parent) as folder, torch.no_grad():
        file = Path(folder) / f"network{ENDINGS[format]}"
        write(folded, images[:_EXAMPLE_BATCH], file, names, metadata)
        difference = _largest(_Tuple(network)(images), read(file)(images))
        if not difference <= TOLERANCE:
            raise NaswildError(f"{out}: the exported file differs from eager mode by {difference:.1e}; it was not kept")
        size = file.stat().st_size
        file.replace(out)
    return Export(os.fspath(out), format, size, tuple(names), difference)


def _classifier(source: BackboneSource, channels: int, cells: int, num_classes: int) -> nn.Module:
    if source.kind == "weights":
        return load_network(source.value)
    if source.kind == "timm":
        return timm.create_model(source.value, num_classes=num_classes)
    return build_network(source.value, "imagenet", channels, cells, num_classes)


def _image(metadata: WeightsMetadata | None, input_size: int | tuple[int, int] | None) -> tuple[int, int, int]:
    planes, height, width = metadata.input_size if metadata else (3, 224, 224)
    if isinstance(input_size, int):
        return planes, input_size, input_size
    return (planes, *input_size) if input_size else (planes, height, width)


def _largest(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """The largest difference, relative to the largest value of the same output."""
    return max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(expected, found, strict=True))


_Write = Callable[[nn.Module, Tensor, Path, list[str], WeightsMetadata | None], None]
_Read = Callable[[Path], Callable[[Tensor], Sequence[Tensor]]]


def _story(metadata: WeightsMetadata | None) -> str:
    """What a deployed file should tell about itself: normalisation, classes, origin."""
    return metadata.model_dump_json() if metadata else json.dumps({})


def _write_onnx(
    network: nn.Module, images: Tensor, file: Path, names: list[str], metadata: WeightsMetadata | None
) -> None:
    require("onnxscript", "export")
    program = torch.onnx.export(
        network,
        (images,),
        dynamo=True,
        input_names=["images"],
        output_names=names,
        dynamic_shapes=({0: "batch"},),
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props["naswild"] = _story(metadata)
    program.save(file, external_data=False)


def _read_onnx(file: Path) -> Callable[[Tensor], Sequence[Tensor]]:
    runtime = require("onnxruntime", "export")
    session = runtime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda images: [torch.from_numpy(out) for out in session.run(None, {"images": images.numpy()})]


def _write_torchscript(
    network: nn.Module, images: Tensor, file: Path, names: list[str], metadata: WeightsMetadata | None
) -> None:
    with warnings.catch_warnings():
        # PyTorch advises torch.export instead; TorchScript is only exported for runtimes that need it.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        # Decisions that depend on the image's size become constants: the size is fixed in an exported file.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        script = torch.jit.freeze(torch.jit.trace(network, images))
        script.save(str(file), _extra_files={"naswild.json": _story(metadata), "outputs.json": json.dumps(names)})


def _read_torchscript(file: Path) -> Callable[[Tensor], Sequence[Tensor]]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated")
        return torch.jit.load(str(file))


def _write_exported(
    network: nn.Module, images: Tensor, file: Path, names: list[str], metadata: WeightsMetadata | None
) -> None:
    program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    extra = {"naswild.json": _story(metadata), "outputs.json": json.dumps(names)}
    torch.export.save(program, file, extra_files=extra)


def _read_exported(file: Path) -> Callable[[Tensor], Sequence[Tensor]]:
    return torch.export.load(file).module()


_FORMATS: dict[str, tuple[_Write, _Read]] = {
    "onnx": (_write_onnx, _read_onnx),
    "torchscript": (_write_torchscript, _read_torchscript),
    "exported": (_write_exported, _read_exported),
}
