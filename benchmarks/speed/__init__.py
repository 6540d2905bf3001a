"""Measurements of speed: ratios of two programs, measured in turn in one run."""

from benchmarks.own_packages import require_own_packages

require_own_packages()
