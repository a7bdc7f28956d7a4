"""Estimates a ratio from the intervals of two numbers, by the MOVER method."""

import math

from bench.stats.intervals import Estimate


def estimate_ratio(value: Estimate, base: Estimate) -> Estimate:
    """Return the ratio of ``value`` to ``base``, its interval recovered from theirs (MOVER).

    With d the difference of their logarithms it runs from d - sqrt((v - v_low)**2 + (b_high - b)**2) to d +
    sqrt((v_high - v)**2 + (b - b_low)**2), in logarithms too (Zou & Donner, "Construction of confidence limits about
    effect measures: a general approach", Statistics in Medicine 27, 2008). The two are taken for independent: a
    deviation that they share, which would cancel, makes it wider than it had to be. An end at 0 or below leaves the
    ratio open on that side. There is no ratio without both numbers above 0, and no interval without both intervals.
    """
    n = min(value.n, base.n)
    if not (value.value and base.value and value.value > 0 and base.value > 0):
        return Estimate(None, None, None, None, n, value.reason or base.reason or "one of the two is not known")
    if math.isinf(value.value) or math.isinf(base.value):
        return Estimate(None, None, None, None, n, "one of the two is censored")
    ratio = value.value / base.value
    ends = (value.low, value.high, base.low, base.high)
    if None in ends:
        return Estimate(ratio, None, None, None, n, value.reason or base.reason or "one of the two has no interval")
    low, high = math.log(ratio), math.log(ratio)
    low -= math.hypot(_log_distance(value.low, value.value), _log_distance(base.value, base.high))
    high += math.hypot(_log_distance(value.value, value.high), _log_distance(base.low, base.value))
    coverage = min(value.coverage or 0.0, base.coverage or 0.0)
    return Estimate(ratio, math.exp(low), math.exp(high), coverage, n)


def _log_distance(low: float | None, high: float | None) -> float:
    """ln(high / low); infinite from 0 or below, and to infinity."""
    if low is None or high is None or low <= 0 or math.isinf(high):
        return math.inf
    return math.log(high / low)
