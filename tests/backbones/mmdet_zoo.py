"""Every config that mmdet ships, swapped: ``python -m tests.backbones.mmdet_zoo`` prints how many end how.

Configs whose detectors differ in nothing that a swap reads (the depth of the old backbone, thresholds, schedules) count
together; one of them is run. ``--done FILE`` keeps what is found, so that a stopped run goes on from there.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backbones.swap import swap
from nas.errors import NaswildError

# What a refusal may say, and the reason that it stands for.
REASONS = {
    r"has no model\.backbone": "no detector in it (a schedule, test-time augmentation)",
    r"built by another library": "its backbone is detectron2's",
    r"roi_head\.shared_head": "heads share the last stage of a ResNet (C4)",
    r"second backbone that feeds the first": "RFP neck with a backbone of its own (DetectoRS)",
    r"levels at strides \(4, 4\)": "two levels at one stride (Hourglass)",
    r"cannot be read: (file |\[Errno 2\])": "its base config is none that mmdet ships",
    r"No module named 'mmpretrain|mmpretrain is not installed|install mmpretrain|\['mmpretrain": "needs mmpretrain",
    r"fairscale|transformers": "its encoder of texts needs fairscale and transformers",
    r"mmcv's compiled operations are not installed": "needs an operation of a compiled mmcv",
    r"offset output dims": "DyHead: offsets of another size, which torchvision's kernel refuses and mmcv's takes",
    r"CascadeRPNHead.*num_classes|force_grad_on_level": "mmdet cannot build the original either",
    r"ImageClassifier is not in": "a classifier of mmpretrain's",
    r"No such file or directory.*(gfl|configs/)": "its teacher's config is looked for in the working directory",
}
# Facts of a backbone that a swap reads.
_READ = ("type", "norm_cfg", "frozen_stages", "norm_eval", "strides", "dilations", "out_indices", "arch")
_UNREAD = ("init_cfg", "test_cfg", "num_classes", "data_preprocessor", "loss_weight", "drop_path_rate")


def shipped() -> dict[str, Path]:
    """Each config by its path below mmdet's folder."""
    import mmdet

    folder = Path(str(mmdet.__file__)).parent / ".mim" / "configs"
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*.py")) if "_base_" not in p.parts}


def signature(path: Path) -> str:
    """What a swap reads of a config, as text; the path itself for one that cannot be read or holds no detector."""
    from mmengine.config import Config

    try:
        cfg = Config.fromfile(str(path))
        wrapper = cfg.get("optim_wrapper") or {}
        facts = [_reduced(cfg.model), wrapper.get("constructor"), wrapper.get("paramwise_cfg")]
    except Exception:  # noqa: BLE001 (whatever it is, swap must say it)
        return str(path)
    return json.dumps(facts, sort_keys=True, default=str)


def _reduced(node: Any) -> Any:
    if isinstance(node, list | tuple):
        return [_reduced(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {k: v for k, v in value.items() if k in _READ}
        if key == "backbone" and isinstance(value, dict)
        else _reduced(value)
        for key, value in node.items()
        if key not in _UNREAD
    }


def outcome(path: Path, folder: Path) -> str:
    """How the swap of one config ends: ``stepped``, ``run`` or ``refused: reason``; what is written is checked."""
    out = folder / "new.py"
    try:
        try:
            done = swap(str(path), "pdarts_cifar10", out, channels=4, cells=4)
        except NaswildError as error:
            if "must be divisible" not in str(error):
                raise
            done = swap(str(path), "pdarts_cifar10", out, cells=4)  # groups of a neck want more channels
    except NaswildError as error:
        reason = next((reason for found, reason in REASONS.items() if re.search(found, str(error), re.S)), None)
        return f"refused: {reason}" if reason else f"UNEXPLAINED: {error}"
    unexpected = list(_unexpected(path, out, done))
    if unexpected:
        return f"WRONG: {'; '.join(unexpected[:5])}"
    return "stepped" if "one training step" in done.trial else "run"


def _unexpected(path: Path, out: Path, done: Any) -> Iterator[str]:
    """Entries of the written config that differ from the original's and are not part of a swap."""
    from mmengine.config import Config

    before, after = (dict(_flat(Config.fromfile(str(p))._cfg_dict.to_dict())) for p in (path, out))
    told = [change.split(":")[0] for change in done.changes]
    allowed = re.compile(
        r"model\.(detector\.)?(backbone|init_cfg)\b|custom_imports|load_from|optim_wrapper\.(constructor|paramwise_cfg)"
        r"|.*data_preprocessor\.(mean|std|bgr_to_rgb|rgb_to_bgr|to_rgb)|.*\.(mean|to_rgb)(\[\d\])?$"
    )
    for key in sorted(before.keys() | after.keys()):
        same = key in before and key in after and str(before[key]) == str(after[key])
        if not same and not allowed.match(key) and not any(key.startswith(place) for place in told):
            yield f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"


def _flat(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _flat(value, f"{place}[{index}]")
    else:
        yield place, node


def groups(paths: dict[str, Path]) -> list[list[str]]:
    """The names of configs that a swap cannot tell apart, large groups first."""
    found: dict[str, list[str]] = {}
    for name, path in paths.items():
        found.setdefault(signature(path), []).append(name)
    return sorted(found.values(), key=len, reverse=True)


def main() -> int:
    """Print the counts; the exit status is 1 if an outcome is wrong or has no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--done", type=Path, default=None, metavar="FILE", help="what was found, read and written")
    file = parser.parse_args().done
    paths = shipped()
    done = json.loads(file.read_text()) if file and file.exists() else {"groups": groups(paths), "found": {}}
    found, counts = done["found"], collections.Counter()
    for number, (name, *others) in enumerate(done["groups"], 1):
        if name not in found:
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                found[name] = outcome(paths[name], Path(folder))
            took = f"{time.perf_counter() - start:.1f} s"
            print(f"{number}/{len(done['groups'])} {name}: {found[name][:600]} ({took})", file=sys.stderr, flush=True)
            if file:
                file.write_text(json.dumps(done, indent=0))
        counts[found[name].splitlines()[0]] += 1 + len(others)
    for words, count in counts.most_common():
        print(f"{count:4} {words}")
    print(f"{sum(counts.values()):4} configs, {len(done['groups'])} of them run")
    return int(any(words.startswith(("WRONG", "UNEXPLAINED")) for words in counts))


if __name__ == "__main__":
    sys.exit(main())
