"""How fast inference is, as ratios to the plain network in eager PyTorch measured in the same run.

    python -m benchmarks.speed.inference            # P-DARTS, 48 channels, 14 cells, 224 px, batch 1 and 8, one thread
    python -m benchmarks.speed.inference --paths eager onnx --batches 1 --rounds 40
    python -m benchmarks.speed.inference --backbone mine.safetensors

Plain is the network as it is trained: NCHW memory, batch normalisation as layers of their own, no autograd graph. The
candidates are ``backbones.for_inference`` (eager), the same with ``compiled=True``, and the file written by ``naswild
export``, run by ONNX Runtime. Each runs in its own process, so that none profits from what another allocated.
They take turns and the CPU time is counted, so a busy machine slows all. The last column is the largest
difference from plain, as a fraction of plain's largest output.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from backbones import for_inference, load_network, save_weights
from backbones.export import export
from backbones.metadata import CellArchitecture, WeightsMetadata
from backbones.weights import is_weights_file
from nas import build_network
from nas.errors import require

PATHS = ("eager", "compiled", "onnx")
Predict = Callable[[Tensor], Tensor]


def as_trained(network: nn.Module) -> nn.Module:
    """Weights and statistics drawn at a scale that lets the images through, which PyTorch's own start does not.

    Outputs then differ from image to image as after training, and a path that lost a layer would be found out.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0.0, 0.3)
            module.running_var.uniform_(1.5, 3.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
    return network.eval()


def write_network(backbone: str, channels: int, cells: int, folder: Path) -> Path:
    """The weights file that all paths start from: ``backbone`` itself, or its cells with drawn weights."""
    if is_weights_file(backbone):
        return Path(backbone)
    torch.manual_seed(0)
    network = build_network(backbone, "imagenet", channels, cells, num_classes=1000)
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=1000)
    save_weights(folder / "network.safetensors", as_trained(network), metadata)
    return folder / "network.safetensors"


def predictor(path: str, weights: Path, size: int) -> Predict:
    """``plain``, or one of :data:`PATHS`: images (N, 3, size, size) -> logits (N, classes)."""
    if path == "onnx":
        return _onnx_predictor(weights, size)
    network = load_network(weights)
    return network if path == "plain" else for_inference(network, compiled=path == "compiled")


def _onnx_predictor(weights: Path, size: int) -> Predict:
    """The exported file, run by ONNX Runtime with as many threads as PyTorch has."""
    with tempfile.TemporaryDirectory() as folder:
        export(weights, "onnx", Path(folder) / "network.onnx", input_size=size)
        content = (Path(folder) / "network.onnx").read_bytes()
    runtime = require("onnxruntime", "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def serve(connection: Connection, path: str, weights: Path, size: int, threads: int) -> None:
    """One candidate's process: returns CPU seconds and logits for each batch it receives."""
    torch.set_num_threads(threads)
    predict = predictor(path, weights, size)
    with torch.no_grad():
        while (batch := connection.recv()) is not None:
            images = torch.from_numpy(batch)
            started = time.process_time()
            logits = predict(images)
            connection.send((time.process_time() - started, logits.numpy()))


@contextmanager
def contestants(paths: Sequence[str], weights: Path, size: int, threads: int) -> Iterator[dict[str, Connection]]:
    """A process for ``plain`` and for each path, by name; they end with the block."""
    spawn = multiprocessing.get_context("spawn")
    ends = {path: spawn.Pipe() for path in ("plain", *paths)}
    processes = [
        spawn.Process(target=serve, args=(theirs, path, weights, size, threads), daemon=True)
        for path, (_, theirs) in ends.items()
    ]
    for process in processes:
        process.start()
    for _, theirs in ends.values():
        theirs.close()  # a process that dies is then an error here, not a wait without end
    try:
        yield {path: mine for path, (mine, _) in ends.items()}
        for mine, _ in ends.values():
            mine.send(None)
    finally:
        for process in processes:
            process.join(10)


def compare(found: dict[str, Connection], images: np.ndarray, rounds: int) -> dict[str, float]:
    """Measure one batch, print a line for each path, return the ratios (above 1: faster than plain)."""
    seconds: dict[str, list[float]] = {path: [] for path in found}
    logits: dict[str, np.ndarray] = {}
    for turn in range(rounds + 1):
        for path, connection in found.items():
            connection.send(images)
            spent, logits[path] = connection.recv()
            if turn:  # the first one warms up
                seconds[path].append(spent)
    medians = {path: median(values) for path, values in seconds.items()}
    scale = abs(logits["plain"]).max()
    for path, value in medians.items():
        difference = abs(logits[path] - logits["plain"]).max() / scale
        ratio = medians["plain"] / value
        print(f"batch {len(images):<3} {path:9} {1e3 * value:7.1f} ms   {ratio:.2f}x   {difference:.0e}", flush=True)
    return {path: medians["plain"] / value for path, value in medians.items()}


def main() -> None:
    """Parse the options and measure the chosen batches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="pdarts_cifar10", help="a zoo name, a genotype or a weights file")
    parser.add_argument("--paths", nargs="*", default=list(PATHS), choices=PATHS)
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--channels", type=int, default=48)
    parser.add_argument("--cells", type=int, default=14)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        weights = write_network(options.backbone, options.channels, options.cells, Path(folder))
        with contestants(options.paths, weights, options.size, options.threads) as found:
            for batch in options.batches:
                shape = (batch, 3, options.size, options.size)
                images = np.random.default_rng(batch).standard_normal(shape, dtype=np.float32)
                compare(found, images, options.rounds)


if __name__ == "__main__":
    main()
