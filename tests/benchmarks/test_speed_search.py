"""What the speed benchmark of searches measures."""

from benchmarks.speed.search import Setting, compare_gdas


def test_a_step_of_gdas_takes_less_time_and_memory_than_one_over_all_operations():
    ratios = compare_gdas(Setting(channels=16, batch=8, size=32, cells=3, operations=8), rounds=1)
    assert min(ratios["weight_step"], ratios["alphas_step"]) > 1.5
    assert ratios["memory"] < 0.6
