"""How sure a measured number is."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % confidence interval and the sample size behind it."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, float]:
        """A JSON-ready copy."""
        return asdict(self)


def share(hits: np.ndarray) -> Estimate | None:
    """The share of True in (n,) bool, with its 95 % Wilson interval; None for an empty array."""
    n = len(hits)
    if n == 0:
        return None
    interval = stats.binomtest(int(hits.sum()), n).proportion_ci(method="wilson")
    return Estimate(float(hits.mean()), float(interval.low), float(interval.high), n)


def mean(values: np.ndarray) -> Estimate | None:
    """The mean of (n,) numbers, with its 95 % Student interval; None for an empty array.

    One number, or equal ones, have an interval of width 0.
    """
    n = len(values)
    if n == 0:
        return None
    value = float(np.mean(values))
    spread = float(stats.sem(values)) if n > 1 else 0.0
    low, high = stats.t.interval(0.95, n - 1, loc=value, scale=spread) if spread > 0 else (value, value)
    return Estimate(value, float(low), float(high), n)


def difference(first: np.ndarray, second: np.ndarray) -> Estimate:
    """The mean of (n,) numbers minus the mean of (m,) others, with its 95 % Welch interval.

    The interval has width 0 if n or m is 1, or if the numbers of both arrays are all equal.
    """
    value = float(np.mean(first) - np.mean(second))
    low = high = value
    if min(len(first), len(second)) > 1 and (np.ptp(first) > 0 or np.ptp(second) > 0):
        with warnings.catch_warnings():  # SciPy warns where one of them has equal numbers, which is fine
            warnings.simplefilter("ignore", RuntimeWarning)
            low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return Estimate(value, float(low), float(high), len(first) + len(second))
