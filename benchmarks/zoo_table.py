"""Every cell of the zoo in one Markdown table: what it costs, counted; how long it takes, measured; what was published.

``naswild zoo table`` prints it. Counted is the paper's ImageNet network (48 channels, 14 cells, 1,000 classes).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

import torch

from backbones import for_inference
from benchmarks.provenance import machine
from benchmarks.speed.inference import as_trained
from nas import build_network, count, zoo

CHANNELS, CELLS, CLASSES = 48, 14, 1000
SIDE = 224
# Inputs of detection and re-identification, as (height, width); the network is then a backbone without a classifier.
BACKBONE_SIZES = ((320, 320), (512, 512), (256, 128))
_ROUNDS = 9


@dataclass(frozen=True)
class Row:
    """One cell: parameters, multiply-adds of the classifier at 224 by both conventions and of the backbone at others.

    ``milliseconds`` is the CPU time for one image of 224 pixels, if it was measured.
    """

    name: str
    parameters: int
    macs: int
    paper_macs: int
    backbone_macs: tuple[int, ...]
    milliseconds: float | None = None


def count_cell(name: str) -> Row:
    """Count the cell ``name``; nothing is allocated.

    One pass at 224 pixels gives every size: the sizes are multiples of the stride 32, so that each layer's outputs, and
    with them its multiply-adds, are proportional to the pixels.
    """
    with torch.device("meta"):
        network = build_network(name, "imagenet", CHANNELS, CELLS, CLASSES)
    found = count(network, SIDE)
    body = found.macs - network.classifier.in_features * CLASSES
    backbone = tuple(body * height * width // SIDE**2 for height, width in BACKBONE_SIZES)
    return Row(name, found.parameters, found.macs, count(network, SIDE, "paper").macs, backbone)


def measure_cell(name: str) -> float:
    """Milliseconds of CPU time for one image of 224 pixels in eager mode on one thread, by ``for_inference``."""
    torch.manual_seed(0)
    network = for_inference(as_trained(build_network(name, "imagenet", CHANNELS, CELLS, CLASSES)))
    images = torch.randn(1, 3, SIDE, SIDE)
    seconds = []
    with torch.no_grad():
        for _ in range(_ROUNDS + 2):
            started = time.process_time()
            network(images)
            seconds.append(time.process_time() - started)
    return 1e3 * median(seconds[2:])


def build_rows(names: Iterable[str], latency: bool, note: Callable[[str], None]) -> list[Row]:
    """A row for each cell; ``note`` is told each name before its turn."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    try:
        for name in names:
            note(name)
            row = count_cell(name)
            rows.append(Row(**{**vars(row), "milliseconds": measure_cell(name)}) if latency else row)
    finally:
        torch.set_num_threads(threads)
    return rows


def markdown(rows: list[Row]) -> str:
    """The table with its explanation and the sources of the published numbers."""
    latency = all(row.milliseconds is not None for row in rows)
    sources = list(dict.fromkeys(source for row in rows if (source := zoo.entry(row.name).published_source)))
    sizes = [f"{height}x{width}" if height != width else str(height) for height, width in BACKBONE_SIZES]
    head = ["Cell", "Params", f"MACs {SIDE}", "as in Table 3", *(f"MACs {size}" for size in sizes)]
    head += [*(["ms"] if latency else []), "published: params", "MACs", "ImageNet top-1 error (%)"]
    head += ["CIFAR-10 error (%)", "source"]
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 2), "---"])]
    lines += [_line(_cells(row, sources, latency)) for row in rows]
    listed = [f"{number}. {source}" for number, source in enumerate(sources, 1)]
    return "\n".join([_explained(latency), *lines, "", "Sources of the published numbers:", "", *listed, ""])


def _cells(row: Row, sources: list[str], latency: bool) -> list[str]:
    entry = zoo.entry(row.name)
    told = [entry.published.get(key) for key in ("in_params_M", "in_madds_M", "in_top1_err", "c10_err")]
    source = str(sources.index(entry.published_source) + 1) if entry.published_source else ""
    return [
        f"`{row.name}`",
        f"{row.parameters / 1e6:.3f}",
        *(f"{number / 1e6:,.1f}" for number in (row.macs, row.paper_macs, *row.backbone_macs)),
        *([f"{row.milliseconds:.0f}"] if latency else []),
        *("" if number is None else str(number) for number in told),
        source,
    ]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _explained(latency: bool) -> str:
    text = _INTRODUCTION.format(
        command=f"naswild zoo table {'--latency ' if latency else ''}-o docs/cells.md",
        channels=CHANNELS,
        cells=CELLS,
        classes=CLASSES,
        side=SIDE,
    )
    if latency:
        text += _LATENCY.format(side=SIDE, machine=machine(), torch=torch.__version__, rounds=_ROUNDS)
    return text


_INTRODUCTION = """# The cells of the zoo

Written by `{command}`. Each cell as the paper's ImageNet network: {channels} channels, {cells} cells.

- **Params** and **MACs {side}** (multiply-adds of convolutions and linear layers for one image), in millions, are those
  of the classification network with {classes:,} classes; **as in Table 3** adds what the paper's counter adds for batch
  normalisation and ReLU. The other MACs are the backbone's, without a classifier. A test compares with the counter.
- The published numbers are the sources' own, of networks that they trained; where a number and a cell may belong to
  different runs, `naswild zoo show NAME` says so.
"""

_LATENCY = """- **ms** is the CPU time for one image of {side} x {side} with `backbones.for_inference` in eager
  mode on one thread ({machine}; PyTorch {torch}; median of {rounds}).
  `python -m benchmarks.speed.inference` compares the other ways.
"""
