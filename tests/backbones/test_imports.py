"""nas and backbones live on torch, torchvision and timm alone; what needs an extra says which."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BLOCKER = """
import sys

class Blocker:
    names = {"mmdet", "mmengine", "mmcv", "torchreid", "matplotlib", "skimage", "ray", "cv2"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-W", "error", "-c", BLOCKER + code], capture_output=True, text=True)


def test_nas_and_backbones_need_only_torch_and_timm():
    done = run("""
import torch, timm, nas, backbones
from nas.errors import MissingExtra

model = timm.create_model("pdarts_cifar10", num_classes=2, channels=4, cells=3)
assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
assert len(backbones.build_backbone("darts_v2", channels=4, cells=3)(torch.zeros(2, 3, 64, 64))) == 4
for module, extra in (("mmdet_models", "detection"), ("torchreid_models", "reid")):
    try:
        __import__("backbones." + module)
    except MissingExtra as error:
        print(error)
""")
    said = [
        f'{module} is not installed; install it with: pip install "naswild[{extra}]"'
        for module, extra in (("mmengine", "detection"), ("torchreid", "reid"))
    ]
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, said, "")


def test_the_lower_bound_of_timm_is_the_one_that_contributing_tests():
    root = Path(__file__).parents[2]
    bound = re.search(r'"timm>=([\d.]+)"', (root / "pyproject.toml").read_text(encoding="utf-8"))
    command = re.search(r"timm==([\d.]+)", (root / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert bound[1] == command[1]
