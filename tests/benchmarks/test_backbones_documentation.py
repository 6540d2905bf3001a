"""The page on backbones is true: its Python and its commands run, its tables name what is there."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from backbones import save_weights
from backbones.baselines import BASELINES
from backbones.weights import CellArchitecture, WeightsMetadata
from benchmarks.cli.app import app
from nas import build_network, zoo

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ naswild (.+)$", PAGE, re.MULTILINE)


def block(word: str) -> str:
    """The only Python block of the page that holds ``word``."""
    (found,) = (text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in text)
    return found.replace("path/to/naswild", str(ROOT))


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(autouse=True)
def _files_of_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the page speaks of, in the working directory."""
    monkeypatch.chdir(tmp_path)
    network = build_network("darts_v2", "imagenet", 4, 4, num_classes=3)
    metadata = WeightsMetadata(architecture=CellArchitecture.of(network.body), num_classes=3)
    save_weights("mine.safetensors", network, metadata)
    Path("my_cell.txt").write_text(zoo.genotype("darts_v2").to_text())
    Path("my_config.py").write_text(block("_base_"))
    official = runpy.run_path(str(ROOT / "tests" / "backbones" / "test_convert.py"))["official"]
    torch.save(official(), "cifar10_model.pt")


def test_building_a_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    exec(block("backbone.strides"), names)
    assert [tuple(level.shape[2:]) for level in names["levels"]] == [(38, 41), (19, 21), (10, 11)]
    shown = capsys.readouterr().out.splitlines()
    assert f"# {shown[0]}" in block("backbone.strides")
    assert "0 missing, 0 unexpected" in shown[1]


def test_saving_in_timms_format() -> None:
    names: dict = {}
    exec(block("save_for_hf"), names)
    state = names["model"].state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in names["again"].state_dict().items())
    assert names["pyramid"].channels == (288, 576)


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated", "ignore:The TorchScript type system")
def test_timm() -> None:
    names: dict = {}
    exec(block("features_only"), names)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(names["script"](x), names["trained"](x))
    assert names["small"].body.stem == "cifar"
    assert [names[n].num_classes for n in ("model", "own", "trained")] == [10, 10, 3]
    assert names["pyramid"].feature_info.reduction() == [8, 32]


@pytest.mark.parametrize("option", re.findall(r"`(\w+)(?:=[^`]*)?`", PAGE.split("| option |")[1].split("\n\n")[0]))
def test_options_exist(option: str) -> None:
    import inspect

    from backbones import CellBackbone

    assert option in inspect.signature(CellBackbone).parameters


def test_the_mmdet_config_builds_a_detector() -> None:
    pytest.importorskip("mmdet")
    import detection  # noqa: F401  (puts torchvision's kernels in the place of mmcv._ext)
    from backbones.mmdet_config import load_config, mmdet_scope

    with mmdet_scope():
        from mmdet.registry import MODELS

        detector = MODELS.build(load_config("my_config.py").model).eval()
        assert len(detector.extract_feat(torch.zeros(1, 3, 64, 64))) == 5


def test_torchreid() -> None:
    torchreid = pytest.importorskip("torchreid")
    names: dict = {}
    exec(block("pcb_p6_mine"), names)
    assert len(names["parts"].train()(torch.zeros(2, 3, 192, 64))) == 6
    mine = torchreid.models.build_model("pcb_p6_mine", num_classes=7, use_gpu=False)
    assert mine.backbone.load_report.matched
    torchreid.models.build_model("pcb_p6_timm:mobilenetv2_100", num_classes=7, pretrained=False, use_gpu=False)


def test_torch_hub() -> None:
    names: dict = {}
    exec(block("torch.hub"), names)
    assert names["pyramid"].strides == (16, 32)
    assert names["trained"].num_classes == 3


def test_inference() -> None:
    names: dict = {}
    exec(block("for_inference"), names)
    assert names["fast"](torch.zeros(1, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_and_leave_their_file(command: str) -> None:
    pytest.importorskip({"swap": "mmdet", "export": "onnxscript"}.get(command.split()[0], "torch"))
    words = shlex.split(command)
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert Path(words[words.index("-o") + 1]).stat().st_size > 0


def test_every_network_of_the_paper_is_in_the_table() -> None:
    rows = re.findall(r"^\| (.+?) \| `timm:(.+?)` \| ?(.*?) ?\|$", section("The paper's other networks"), re.MULTILINE)
    assert rows == [(baseline.paper, baseline.model, baseline.differs) for baseline in BASELINES]


@pytest.mark.parametrize("message", re.findall(r"^\| `(.+?)` \|", section("Errors you may meet"), re.MULTILINE))
def test_messages_are_those_of_the_code(message: str) -> None:
    import timm.models._builder

    files = [*(ROOT / "backbones").glob("*.py"), ROOT / "nas" / "errors.py", Path(timm.models._builder.__file__)]
    source = "".join(path.read_text(encoding="utf-8") for path in files).replace('unknown("', '"unknown ')
    assert message in source
