"""mmdet's own tools and interfaces, each in a process that imports nothing of ours first, and the pages' commands.

The configs are a plain one of mmdet's and the README's snippet, which imports ``backbones.mmdet_models`` alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backbones.weights import CellArchitecture, WeightsMetadata, save_weights
from detection.compose import make_digits_coco
from nas import build_network

mmdet = pytest.importorskip("mmdet")

ROOT = Path(__file__).parents[2]
TOOLS = Path(mmdet.__file__).parent / ".mim" / "tools"
SNIPPET = re.search(r"```python\n# in an mmdetection config\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)

PLAIN = """
_base_ = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
classes = tuple(str(digit) for digit in range(10))
size = dict(type="Resize", scale=(96, 96), keep_ratio=False)
meta = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True), size]
part = dict(_delete_=True, type="CocoDataset", data_root="data/", metainfo=dict(classes=classes))
pack = dict(type="PackDetInputs", meta_keys=meta)
data = dict(part, ann_file="annotations/instances_val.json", data_prefix=dict(img="val/"), pipeline=[*load, pack])
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(data, ann_file="annotations/instances_train.json", data_prefix=dict(img="train/"),
                 pipeline=[*load, dict(type="PackDetInputs")]))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file="data/annotations/instances_val.json")
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
model = dict(
    backbone=dict(_delete_=True, type="ResNet", depth=18, base_channels=4, norm_cfg=dict(type="BN")),
    neck=dict(in_channels=[4, 8, 16, 32], out_channels=8),
    bbox_head=dict(num_classes=10, in_channels=8, feat_channels=8, stacked_convs=1))
"""
WITH_SNIPPET = """
_base_ = "plain.py"
{snippet}
model["backbone"].update(_delete_=True, channels=4, cells=4)
model["neck"] = dict(in_channels=[16, 32, 64], start_level=0)
"""


def python(folder: Path, *arguments: str | Path) -> str:
    """What a new Python process prints; it must end well."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: data, the two configs, and a checkpoint of each from mmdet's ``train.py``."""
    folder = tmp_path_factory.mktemp("user")
    make_digits_coco(folder / "data", seed=3, train=4, val=2, image_size=96)
    (folder / "plain.py").write_text(PLAIN)
    assert SNIPPET is not None
    (folder / "snippet.py").write_text(WITH_SNIPPET.format(snippet=SNIPPET[1]))
    for name in ("plain", "snippet"):
        python(folder, TOOLS / "train.py", f"{name}.py", "--work-dir", name)
    return folder


@pytest.mark.parametrize("name", ["plain", "snippet"])
def test_train_writes_what_test_reads(name: str, folder: Path) -> None:
    assert (folder / name / "epoch_1.pth").is_file()
    python(folder, TOOLS / "test.py", f"{name}.py", f"{name}/epoch_1.pth", "--work-dir", "test", "--out", f"{name}.pkl")
    assert (folder / f"{name}.pkl").stat().st_size > 0


@pytest.mark.parametrize(("name", "interface"), [("plain", "init_detector"), ("snippet", "DetInferencer")])
def test_the_interfaces_open_a_checkpoint(name: str, interface: str, folder: Path) -> None:
    calls = {
        "init_detector": "print(inference_detector(opened, 'data/val/000001.jpg').pred_instances.bboxes.shape[1])",
        "DetInferencer": "print(len(opened('data/val/000001.jpg')['predictions']) + 3)",
    }
    opening = f"opened = {interface}('{name}.py', '{name}/epoch_1.pth', device='cpu')"
    code = f"from mmdet.apis import {interface}, inference_detector\n{opening}\n{calls[interface]}"
    assert python(folder, "-c", code).split()[-1] == "4"


def test_browse_dataset_shows_the_images(folder: Path) -> None:
    python(folder, TOOLS / "analysis_tools" / "browse_dataset.py", "plain.py", "--output-dir", "shown", "--not-show")
    assert len(list((folder / "shown").glob("*.jpg"))) == 4


EVERY_TOOL = """
import contextlib, io, runpy, sys
from pathlib import Path
for tool in sorted(Path(sys.argv[1]).rglob("*.py")):
    sys.argv = [tool.name, "--help"]
    sys.path[0] = str(tool.parent)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(str(tool), run_name="__main__")
    except SystemExit as end:
        print(tool.name, end.code)
    except (ModuleNotFoundError, AttributeError) as error:  # mmdet's benchmark.py asks a missing psutil for a class
        print(tool.name, error.name)
"""


def test_every_other_tool_starts(folder: Path) -> None:
    """Some need a package of another party (``panopticapi``, ...); none lacks anything of mmcv's."""
    ends = dict(line.split() for line in python(folder, "-c", EVERY_TOOL, TOOLS).splitlines())
    assert len(ends) > 40
    assert not [tool for tool, end in ends.items() if end.split(".")[0] in ("mmcv", "mmdet", "mmengine", "1", "2")]
    assert ends["test.py"] == ends["get_flops.py"] == ends["confusion_matrix.py"] == "0"


def test_the_pages_commands(folder: Path) -> None:
    """``swap`` of docs/backbones.md and ``evaluate`` of docs/detection.md, by the installed command."""
    naswild = Path(sys.executable).with_name("naswild")
    network = build_network("darts_v2", "imagenet", 4, 4, num_classes=3)
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=3)
    save_weights(folder / "mine.safetensors", network, metadata)
    python(folder, naswild, *["swap", "plain.py", "--backbone", "mine.safetensors", "-o", "new.py"])
    assert "backbones.mmdet_models" in (folder / "new.py").read_text()
    evaluate = "evaluate --weights snippet/epoch_1.pth --task detect --root data"
    assert "AP50" in python(folder, naswild, *evaluate.split())
