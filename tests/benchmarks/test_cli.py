"""The command line: quick help with examples, one clear message for every mistake, and the commands themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.cli.app import app

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "run",
    "search",
    "retrain",
    "evaluate",
    "table",
    "report",
    "doctor",
    "results list",
    "results show",
    "results add",
    "results compare",
    "results merge",
    "suite list",
    "suite show",
    "suite new",
    "zoo list",
    "zoo show",
    "zoo draw",
    "zoo table",
    "swap",
    "convert",
    "export",
    "data make",
    "data check",
)


def naswild(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-c", "from benchmarks.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = naswild(*command.split(), "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f"naswild {command}" in done.stdout


def test_ctrl_c_says_the_command_that_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what was asked for, and without what would start the jobs from scratch."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.run.run_plan", interrupted)
    asked = ["mini", "--only", "darts_v2", "--seeds", "0,1", "--run-dir", str(tmp_path), "--overwrite", "always"]
    done = CliRunner().invoke(app, ["run", *asked])
    assert done.exit_code == 130
    again = f"naswild run mini --seeds 0,1 --run-dir {tmp_path} --only darts_v2\n"
    assert done.stderr.endswith(f"resume with: {again}")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom benchmarks.cli import main\nsys.argv = ['naswild', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'pydantic', 'numpy', 'yaml', 'scipy', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu", "mini"], "run"),
        (["run", "mni"], "unknown suite 'mni'; did you mean 'mini'?"),
        (["run", "mini", "--sede", "1"], "--seeds"),
        (["run", "mini", "--seeds", "a"], "give numbers such as 0,1,2"),
        (["run", "mini", "--import", "no_such_module"], "cannot import 'no_such_module'"),
        (["zoo", "show", "dart_v2"], "did you mean 'darts_v2'"),
        (["zoo", "list", "dartz"], "did you mean"),
        (["table", "no-such-run"], "unknown run 'no-such-run'"),
        (["data", "make", "digit-coco", "x"], "did you mean 'digits-coco'?"),
        (["data", "make", "digits-coco", "x", "-o", "trian=3"], "did you mean 'train'"),
        (["evaluate", "darts_v2", "--task", "reids", "--protocol", "p", "--data", "reid"], "did you mean 'reid'?"),
        (["evaluate", "darts_v2", "--task", "reid", "--protocol", "p"], "give one of --data and --root"),
        (["evaluate", "darts_v2", "--task", "reid", "--data", "reid"], "--protocol NAME"),
        (["evaluate", "--task", "digits"], "give a backbone to measure, or --weights FILE"),
        (["evaluate", "--weights", "a.safetensors", "--task", "digits"], "a.safetensors does not exist"),
        (["evaluate", "darts_v2", "--task", "digits"], "not a weights file; train one: naswild retrain darts_v2"),
        (["evaluate", "--weights", "a.safetensors", "--task", "reid"], "a.safetensors does not exist"),
        (["evaluate", "--weights", "a.pth", "--task", "detect"], "--root FOLDER"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = naswild(*arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_run_then_list_show_and_dry_run(toy_suite: Callable[..., Path], tmp_path: Path) -> None:
    suite = str(toy_suite())
    done = naswild("run", suite, "--slots", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "10 jobs: 0 loaded, 10 run;" in done.stdout
    assert (tmp_path / "runs" / "toy" / "results.csv").exists()
    again = naswild("run", suite, "--dry-run", cwd=tmp_path)
    assert "0 of 10 jobs to run" in again.stdout
    listed = naswild("results", "list", "toy", "darts_v2", cwd=tmp_path)
    jobs = [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert len(jobs) == 3
    key = jobs[0].rpartition("-")[2]
    shown = naswild("results", "show", "toy", key, cwd=tmp_path)
    assert json.loads(shown.stdout)["key"] == key


def test_a_failed_job_gives_exit_code_1(toy_suite: Callable[..., Path], tmp_path: Path) -> None:
    done = naswild("run", str(toy_suite(fail="darts_v2")), "--slots", "2", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 failed, 2 waiting for those" in done.stdout


def test_a_random_cell_is_drawn_by_the_search_command(tmp_path: Path) -> None:
    protocol = tmp_path / "p.yaml"
    protocol.write_text("name: p\nversion: 1\nstage: search\nsource: made up\nrecipe: {max_skips: 2}\n")
    done = naswild("search", "--method", "random", "--protocol", str(protocol), "--out", "cell.json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = naswild("zoo", "show", "cell.json", cwd=tmp_path)
    assert shown.stdout.startswith("Genotype(normal=[")


def test_doctor_names_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    done = naswild("doctor", "--data", str(tmp_path))
    assert "torch" in done.stdout
    assert "market1501" in done.stdout
    assert "withdrawn by its authors in 2019" in done.stdout


def test_a_cell_is_drawn_as_svg_and_png(tmp_path: Path) -> None:
    assert naswild("zoo", "draw", "darts_v2", cwd=tmp_path).returncode == 0
    assert (tmp_path / "darts_v2.svg").read_text().startswith("<svg")
    assert naswild("zoo", "draw", "darts_v2", "-o", "cell.png", cwd=tmp_path).returncode == 0
    assert (tmp_path / "cell.png").read_bytes().startswith(b"\x89PNG")
    refused = naswild("zoo", "draw", "darts_v2", "-o", "cell.pdf", cwd=tmp_path)
    assert (refused.returncode, "an .svg or a .png" in refused.stderr) == (2, True)


def test_show_gives_structure_and_size() -> None:
    shown = naswild("zoo", "show", "pdarts_cifar10").stdout
    assert "2 skip-connects, longest path 3, levels 2:1 3:1 4:2 5:3" in shown
    assert "4,944,352 parameters, 542,819,328 multiply-adds at 224 x 224" in shown
    assert "chenxin061/pdarts genotypes.py:77 PDARTS (b880e87)" in shown


def test_a_network_is_exported(tmp_path: Path) -> None:
    size = ("--channels", "4", "--cells", "3", "--size", "32")
    done = naswild("export", "--backbone", "darts_v2", *size, "-f", "torchscript", "-o", "net.pt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.pt").is_file()


def test_a_backbone_is_swapped_in_a_shipped_config(tmp_path: Path) -> None:
    pytest.importorskip("mmdet")
    done = naswild("swap", "retinanet_r50_fpn_1x_coco", "--backbone", "pdarts_cifar10", "-o", "new.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "CellBackbone" in (tmp_path / "new.py").read_text()


def test_a_checkpoint_that_is_none_is_refused_by_convert(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"nothing")
    done = naswild("convert", "a.pt", "--genotype", "pdarts_cifar10", "-o", "a.safetensors", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a.pt" in done.stderr
    assert not (tmp_path / "a.safetensors").exists()
