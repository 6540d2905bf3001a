"""The summary that ``naswild search`` prints of a finished search, besides the path of the genotype."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.store import Result

CONVOLUTIONS = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
CLASSES_SHOWN = 12


def describe(result: Result, run_dir: Path) -> Iterator[str]:
    """Yield one line per fact about a search; random cells have fewer."""
    details = result.details
    stages: Sequence[Mapping[str, Any]] = details.get("stages", ())
    backbone = result.backbone
    yield _line("search", f"{backbone.name}, seed {result.seed}, {result.protocol} {result.protocol_hash}")
    for stage in stages:
        yield _line(f"stage {stage['stage'] + 1}", _stage(stage))
    for earlier, stage in pairwise(stages):
        kept, edges = stage["survivors"], len(stage["alphas"]["normal"])
        pair = f"{earlier['stage'] + 1} to {stage['stage'] + 1}"
        words = f"normal {kept['normal']}, reduction {kept['reduce']} of {edges} leading operations stay from {pair}"
        yield _line("survivors", words)
    if stages:
        for kernels in dict.fromkeys(stage.get("kernels") for stage in stages):
            if kernels is not None:
                yield _line("kernels", kernels)
        yield _line("M", _alternatives(stages[-1]))
        if ratio := _gradient_ratio(stages[-1]):
            yield _line("gradients", f"of skip-connects' alphas {ratio:.2f} times the convolutions', last epoch")
        yield _line("collapse", details.get("collapse") or "no")
    if backbone.macs is not None and backbone.parameters is not None:
        yield _line("size", _size(backbone.parameters, backbone.macs, details))
    if classes := details.get("classes"):
        more = f", ... ({len(classes)} in the result)" if len(classes) > CLASSES_SHOWN else ""
        yield _line("classes", ", ".join(classes[:CLASSES_SHOWN]) + more)
    outcome = run_dir / "jobs" / result.job / "search.json"
    if outcome.exists():
        yield _line("trajectory", str(outcome))


def _line(name: str, words: str) -> str:
    return f"{name:12}{words}"


def _stage(stage: Mapping[str, Any]) -> str:
    peak = stage["peak_memory_bytes"]
    memory = f", peak {peak / 1e9:.2f} GB" if peak is not None else ""
    last = stage["trajectory"][-1]
    accuracy = last["validation_accuracy"]
    network = "strongest operations'" if last.get("validation_of") == "strongest" else "supernet"
    validation = f", {network} validation accuracy {100 * accuracy:.1f} %" if accuracy is not None else ""
    shape = f"{stage['cells']} cells, {stage['channels']} channels, {len(stage['operations']['normal'][0])} operations"
    return f"{shape}, {last['skips']} skips before refinement{validation}, {stage['seconds']:.0f} s{memory}"


def _alternatives(stage: Mapping[str, Any]) -> str:
    """``0..8 skip-connects give 4 different cells``."""
    cells = stage["alternatives"]
    limits = sorted(map(int, cells))
    different = len({str(cell) for cell in cells.values()})
    cell = "one cell" if different == 1 else f"{different} different cells"
    return f"at most {limits[0]} to {limits[-1]} skip-connects give {cell}, in the result"


def _gradient_ratio(stage: Mapping[str, Any]) -> float | None:
    sizes = stage["trajectory"][-1].get("alpha_gradients") or {}
    convolutions = [sizes[name] for name in CONVOLUTIONS if sizes.get(name)]
    if not convolutions or not sizes.get("skip_connect"):
        return None
    return float(sizes["skip_connect"]) * len(convolutions) / sum(convolutions)


def _size(parameters: int, macs: int, details: Mapping[str, Any]) -> str:
    size = f"{parameters / 1e6:.2f} M parameters, {macs / 1e6:.0f} M multiply-adds as ImageNet network at 224 px"
    budget = details.get("recipe", {}).get("max_macs")
    if budget is None:
        return size
    verdict = "within" if details.get("within_budget") else "OVER"
    return f"{size}: {verdict} the budget of {budget / 1e6:.0f} M"
