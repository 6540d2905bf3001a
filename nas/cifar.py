"""CIFAR-10 and CIFAR-100 from the official Python files, unpickled by a reader that can only build arrays."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.errors import NaswildError
from nas.images import MemoryImages


@dataclass(frozen=True)
class CifarFiles:
    """The official layout of one CIFAR: folder, batches per split, the keys of the labels and of the class names."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    label_key: str
    classes_key: str


LAYOUTS = {
    "cifar10": CifarFiles(
        folder="cifar-10-batches-py",
        train=tuple(f"data_batch_{i}" for i in range(1, 6)),
        test=("test_batch",),
        meta="batches.meta",
        label_key="labels",
        classes_key="label_names",
    ),
    "cifar100": CifarFiles(
        folder="cifar-100-python",
        train=("train",),
        test=("test",),
        meta="meta",
        label_key="fine_labels",
        classes_key="fine_label_names",
    ),
}


def find_cifar(name: str, root: Path) -> Path | None:
    """The folder with the official files of ``name``: ``root`` itself or the usual folder in it; None when absent."""
    layout = LAYOUTS[name]
    return next((folder for folder in (root, root / layout.folder) if (folder / layout.meta).is_file()), None)


def read_cifar(name: str, folder: Path) -> tuple[MemoryImages, MemoryImages, tuple[str, ...]]:
    """Training images, test images (32 px) and class names of the official files in ``folder``."""
    layout = LAYOUTS[name]
    train, test = (_read_split(folder, files, layout.label_key) for files in (layout.train, layout.test))
    classes = tuple(_unpickle(folder / layout.meta)[layout.classes_key])
    return train, test, classes


def _read_split(folder: Path, files: tuple[str, ...], label_key: str) -> MemoryImages:
    batches = [_unpickle(folder / file) for file in files]
    pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([np.asarray(batch[label_key], dtype=np.int64) for batch in batches])
    return MemoryImages(torch.from_numpy(pixels), torch.from_numpy(labels))


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and plain values; any other global in the file is refused, so a file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core") if hasattr(np, "_core") else module
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} or (
            module in {"numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric"}
            and name in {"_reconstruct", "_frombuffer", "scalar"}
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"refused to load {module}.{name}")


def _unpickle(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except FileNotFoundError as error:
        raise NaswildError(f"{path} is missing; unpack the official archive again") from error
    except (pickle.UnpicklingError, EOFError, ValueError) as error:
        raise NaswildError(f"{path} is damaged ({error}); unpack the official archive again") from error
