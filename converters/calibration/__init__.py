"""Measuring the ranges of a float model's tensors on samples."""

from converters.calibration.estimators import ESTIMATORS, check_estimator
from converters.calibration.ranges import measure_ranges, measure_signatures

__all__ = ["ESTIMATORS", "check_estimator", "measure_ranges", "measure_signatures"]
