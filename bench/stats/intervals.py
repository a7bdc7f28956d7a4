"""Estimates medians over trials, with distribution-free confidence intervals.

A trial is the unit: requests inside a trial depend on one another and are never resampled or tested by themselves.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import comb
from statistics import median

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its confidence interval. ``low`` and ``high`` are None where ``reason`` says why."""

    value: float | None
    low: float | None
    high: float | None
    coverage: float | None
    """The probability that such an interval holds the true number: at least 0.95, 0.969 for n = 6."""
    n: int
    reason: str | None = None


def interval_rank(n: int, confidence: float = CONFIDENCE) -> int | None:
    """Return the largest j for which the j-th smallest and j-th largest of ``n`` values enclose the median.

    With probability 1 - 2 P(Bin(n, 1/2) < j) they do, whatever the distribution (David & Nagaraja, Order Statistics,
    3rd ed. 2003, section 7.1; Conover, Practical Nonparametric Statistics, 3rd ed. 1999, section 3.2). None when even
    the extremes do not reach ``confidence``: fewer than 6 values for 95 %.
    """
    if n < 1 or coverage(n, 1) < confidence:
        return None
    j = 1
    while j < n // 2 and coverage(n, j + 1) >= confidence:
        j += 1
    return j


def coverage(n: int, j: int) -> float:
    """Return the probability that the j-th smallest and j-th largest of ``n`` values enclose the median."""
    return 1.0 - 2.0 * sum(comb(n, k) for k in range(j)) / float(2**n)


def estimate_median(values: Iterable[float], confidence: float = CONFIDENCE) -> Estimate:
    """Return the median of one number per trial, with its interval. Infinite (censored) values rank above all others.

    Raises ValueError for a missing (NaN) value.
    """
    ordered = sorted(values)
    n = len(ordered)
    if any(math.isnan(value) for value in ordered):
        raise ValueError("a missing value has no rank; leave it out")
    if not n:
        return Estimate(None, None, None, None, 0, "no valid trial has this number")
    middle = float(median(ordered))
    j = interval_rank(n, confidence)
    if j is None:
        return Estimate(
            middle,
            None,
            None,
            None,
            n,
            f"{confidence:.0%} need {count_values_needed(confidence)} rounds, there are {n}",
        )
    return Estimate(middle, float(ordered[j - 1]), float(ordered[n - j]), coverage(n, j), n)


def scale_estimate(estimate: Estimate, factor: float) -> Estimate:
    """Return the estimate in another unit."""
    value, low, high = (
        None if number is None else number * factor for number in (estimate.value, estimate.low, estimate.high)
    )
    return replace(estimate, value=value, low=low, high=high)


def count_values_needed(confidence: float = CONFIDENCE) -> int:
    """Return how many values an interval needs: the least n with 1 - 2**(1 - n) >= ``confidence``."""
    n = 1
    while coverage(n, 1) < confidence:
        n += 1
    return n


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean (Fleming & Wallace, "How not to lie with statistics", CACM 29, 1986).

    Raises ValueError for no ratios, or for one that is not positive.
    """
    if not ratios or min(ratios) <= 0:
        raise ValueError("a geometric mean takes positive numbers, at least one")
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
