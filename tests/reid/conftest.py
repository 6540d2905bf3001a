"""What the tests of re-identification share: a very small set in each layout, drawn once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_sets import TINY

from reid.draw import make_reid_sets


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three sets in miniature; not to be changed."""
    root = tmp_path_factory.mktemp("reid")
    make_reid_sets(root, seed=0, sizes=TINY)
    return root
