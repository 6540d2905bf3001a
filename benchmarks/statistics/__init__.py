"""The statistics of the tables: means, improvement over random cells, ranks, correlation, paired differences, power.

What a sample is too small for is None, never a number that looks like an answer. The coverage of every interval is
measured by simulation: ``python -m benchmarks.statistics.coverage``.
"""

from benchmarks.statistics.correlation import MINIMUM_PAIRS, RankCorrelation, rank_correlation
from benchmarks.statistics.paired import PairedDifference, mean_interval, paired_difference, resampled_difference
from benchmarks.statistics.power import deviation_limit, pareto_front, runs_to_detect
from benchmarks.statistics.relative import Improvement, holm, improvement
from benchmarks.statistics.summary import LEVEL, MINIMUM_SAMPLE, Interval, Summary, summarize, summarize_seeds

__all__ = [
    "LEVEL",
    "MINIMUM_PAIRS",
    "MINIMUM_SAMPLE",
    "Improvement",
    "Interval",
    "PairedDifference",
    "RankCorrelation",
    "Summary",
    "deviation_limit",
    "holm",
    "improvement",
    "mean_interval",
    "paired_difference",
    "pareto_front",
    "rank_correlation",
    "resampled_difference",
    "runs_to_detect",
    "summarize",
    "summarize_seeds",
]
