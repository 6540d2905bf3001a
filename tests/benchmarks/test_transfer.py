"""The wild score and the proxy-to-target correlation, by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import backbones, make_result, mini_results

from benchmarks.statistics import holm
from benchmarks.store import Backbone, Metric, Result
from benchmarks.tables.measurements import Measurements
from benchmarks.transfer import proxies, proxy_correlations, targets, wild_scores


def networks() -> tuple[Backbone, list[Backbone]]:
    found = list(backbones())
    return found[0], [backbone for backbone in found if backbone.kind == "random"]


def scored(backbone: Backbone, kind: str, task: str, value: float, **variant: int) -> Result:
    metric = {"detect": "AP", "reid": "mAP", "classify": "top1"}[kind]
    return make_result(backbone, kind, task, {metric: Metric(value=value)}, variant=variant)


def score_of(results: list[Result], backbone: Backbone) -> float | None:
    score = next(s for s in wild_scores(Measurements(results)) if s.backbone == backbone.name)
    return score.score.value if score.score else None


def test_variants_of_one_data_set_count_once() -> None:
    cell, random = networks()
    results = [scored(r, "detect", "coco", 0.2) for r in random] + [scored(cell, "detect", "coco", 0.3)]
    for parts, value in ((1, 0.44), (3, 0.48), (6, 0.40)):
        results += [scored(r, "reid", "market1501", 0.4, parts=parts) for r in random]
        results.append(scored(cell, "reid", "market1501", value, parts=parts))
    # The geometric mean of the ratios: 1.5 on COCO; 1.1, 1.2 and 1.0 on Market-1501, which count once together.
    assert score_of(results, cell) == pytest.approx(np.sqrt(1.5 * (1.1 * 1.2 * 1.0) ** (1 / 3)) - 1)


def test_the_proxy_is_no_target_but_other_classification_data_is() -> None:
    measured = Measurements(mini_results())
    assert proxies(measured) == {"digits"}
    assert list(targets(measured)) == ["detect coco", "reid dukemtmcreid", "reid market1501", "reid msmt17"]
    cell, random = networks()
    other = [scored(b, "classify", "cifar10", 0.5) for b in (cell, *random)]
    assert "classify cifar10" in targets(Measurements([*mini_results(), *other]))


def test_a_backbone_that_misses_a_data_set_has_parts_but_no_score() -> None:
    results = [r for r in mini_results() if not (r.backbone.name == "darts_v2" and r.kind == "detect")]
    score = next(s for s in wild_scores(Measurements(results)) if s.backbone == "darts_v2")
    assert score.score is None
    assert len(score.parts) == 3


def test_random_cells_and_foreign_networks_have_no_wild_score() -> None:
    names = {score.backbone for score in wild_scores(Measurements(mini_results()))}
    assert names == {"pdarts@digits", "darts@digits", "pdarts_cifar10", "darts_v2"}


def test_a_cell_is_resampled_with_all_its_tasks_at_once() -> None:
    # Two tasks on which the random cells trade places: resampled together, the mean of the two hardly moves.
    cell, random = networks()
    tasks = (("detect", "coco"), ("reid", "msmt17"))
    results = [
        scored(cell, kind, task, 0.5).model_copy(update={"seed": s, "key": f"{kind}{s}"})
        for kind, task in tasks
        for s in (0, 1)
    ]
    for backbone, value in zip(random, (0.40, 0.45, 0.50)):
        results.append(scored(backbone, "detect", "coco", value))
        results.append(scored(backbone, "reid", "msmt17", 0.9 - 0.95 * value))
    score = next(s for s in wild_scores(Measurements(results)) if s.backbone == cell.name)
    assert score.score is not None
    assert score.score.interval is not None
    widths = [p.interval.high - p.interval.low for p in score.parts.values() if p.interval]
    assert len(widths) == 2
    assert score.score.interval.high - score.score.interval.low < 0.2 * min(widths)


def test_single_runs_have_no_interval_and_no_winner() -> None:
    scores = wild_scores(Measurements(mini_results()))
    assert all(score.score is not None and score.score.interval is None for score in scores)
    assert not any(score.wins for score in scores)


def test_p_values_are_adjusted_for_all_cells_that_are_compared() -> None:
    scores = wild_scores(Measurements(mini_results(seeds=(0, 1), search_seeds=(0, 1, 2))))
    raw = [score.score.p for score in scores if score.score is not None and score.score.p is not None]
    assert [score.adjusted_p for score in scores] == pytest.approx(holm(raw))
    assert len(raw) == 4


def test_the_score_falls_back_to_no_interval_with_two_random_cells() -> None:
    results = [
        r for r in mini_results(seeds=(0, 1)) if not (r.backbone.kind == "random" and r.backbone.search_seed == 2)
    ]
    scores = wild_scores(Measurements(results))
    assert all(score.score is not None and score.score.interval is None for score in scores)


def test_no_random_cells_no_wild_score() -> None:
    assert list(wild_scores(Measurements([r for r in mini_results() if r.backbone.kind != "random"]))) == []


def test_correlation_is_over_cells_of_the_space_each_search_a_point() -> None:
    entries = proxy_correlations(Measurements(mini_results(search_seeds=(0, 1))))
    assert len(entries) == 6
    for entry in entries:
        assert len(entry.points) == 2 * 2 + 3 + 2
        assert not any("timm" in point.backbone for point in entry.points)


def test_tau_of_independent_trainings_pairs_one_seed_with_another() -> None:
    # Under one seed proxy and target agree entirely; across seeds they disagree.
    found = [backbone for backbone in backbones() if backbone.genotype is not None]
    results = []
    for place, backbone in enumerate(found):
        for seed, sign in ((0, 1), (1, -1)):
            value = 0.5 + sign * 0.01 * place
            for kind, task in (("classify", "digits"), ("detect", "coco")):
                result = scored(backbone, kind, task, value)
                results.append(result.model_copy(update={"seed": seed, "key": f"{result.key}-{seed}"}))
    (entry,) = proxy_correlations(Measurements(results))
    assert entry.independent == pytest.approx(-1)
    (alone,) = proxy_correlations(Measurements([result for result in results if result.seed == 0]))
    assert alone.correlation is not None
    assert alone.correlation.kendall == pytest.approx(1)
    assert alone.independent is None


def test_where_lower_is_better_agreement_is_still_positive() -> None:
    found = [b for b in backbones() if b.genotype is not None]
    results = []
    for place, backbone in enumerate(found):
        results.append(scored(backbone, "classify", "digits", 0.5 + 0.01 * place))
        speed = Metric(value=10.0 - place, higher_is_better=False, unit="ms")
        results.append(make_result(backbone, "latency", "phone", {"ms": speed}))
    (entry,) = proxy_correlations(Measurements(results))
    assert entry.correlation is not None
    assert entry.correlation.kendall == pytest.approx(1)


def test_scores_come_best_first() -> None:
    values = [score.score.value for score in wild_scores(Measurements(mini_results())) if score.score]
    assert values == sorted(values, reverse=True)
    assert np.isfinite(values).all()
