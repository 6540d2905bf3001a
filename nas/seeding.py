"""Randomness as a pure function of where we are, so that a resumed run draws what an uninterrupted one draws.

Nothing in this project depends on how long a process has been running. Every random choice comes from a seed that is
derived from a path such as ``(seed, "order", epoch)`` or ``(seed, "step", epoch, step)``; a checkpoint therefore
holds no generator states, and restarting in the middle of an epoch gives the same numbers to the last bit.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive_seed(*path: int | str) -> int:
    """A 63-bit seed from a path of integers and strings; the same on every machine and Python version."""
    digest = hashlib.blake2b("/".join(map(str, path)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(*path: int | str) -> torch.Generator:
    """A CPU generator for the draws of one place, e.g. the order of the samples in one epoch."""
    return torch.Generator().manual_seed(derive_seed(*path))


def seed_all(*path: int | str) -> int:
    """Seed Python's, NumPy's and PyTorch's global generators (all devices) from ``path`` and return the seed."""
    seed = derive_seed(*path)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # third-party augmentations (mmdet, torchreid) still draw from the legacy generator
    torch.manual_seed(seed)
    return seed
