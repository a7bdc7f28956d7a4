"""Estimates ratios between two cells with trials paired by round (Hodges-Lehmann).

What the trials of one round have in common, such as the machine's speed, cancels.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement
from statistics import fmean, median, stdev

import numpy as np

from bench.stats.intervals import CONFIDENCE, Estimate, count_values_needed
from bench.stats.log_ratio import LogRatio


def paired_ratio(values: Sequence[float], bases: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """How many times its base a value is: Hodges and Lehmann's estimate over the rounds, turned back from logarithms.

    The estimate is the median of all averages of two log ratios, each with itself included (Walsh averages); the
    interval runs from the k-th smallest to the k-th largest of them, k from the exact distribution of Wilcoxon's signed
    ranks (Hodges & Lehmann, Annals of Mathematical Statistics 34, 1963; Hollander, Wolfe & Chicken, Nonparametric
    Statistical Methods, 3rd ed. 2014, sections 3.2 and 3.3). It takes log ratios to scatter symmetrically, as they do
    when both cells have the same kind of luck; one bad round moves it little. A to B is one over B to A.

    A censored (infinite) number is larger than any measured one, so a round censored in the value alone has the ratio
    infinity, in the base alone zero, and both count at their rank: the estimate and the ends of the interval may be
    infinite or zero. The average of two rounds censored on opposite sides may be anything: it is the lowest for the
    lower end and the highest for the upper, and when the estimate depends on it there is none. A round censored in both
    has no ratio, and leaving it out would flatter: then there is none at all. Zeros are the mirror image.
    Raises ValueError for negative and missing numbers.
    """
    logs = log_ratios(values, bases)
    n = len(logs)
    if not n:
        return Estimate(None, None, None, None, 0, "no round has both")
    if open_ := sum(map(math.isnan, logs)):
        return Estimate(None, None, None, None, n, f"{open_} of {n} rounds are censored in both, or zero in both")
    lowest, highest = (walsh_averages(logs, undecided) for undecided in (-math.inf, math.inf))
    if (middle := median(lowest)) != median(highest):
        return Estimate(None, None, None, None, n, "rounds censored on opposite sides leave the middle ratio open")
    k, coverage = find_signed_rank_bound(n, confidence)
    if not k:
        reason = f"{confidence:.0%} need {count_values_needed(confidence)} rounds, there are {n}"
        return Estimate(math.exp(middle), None, None, None, n, reason)
    return Estimate(math.exp(middle), math.exp(lowest[k - 1]), math.exp(highest[-k]), coverage, n)


def mean_log_ratio(values: Sequence[float], bases: Sequence[float]) -> LogRatio:
    """Return the mean of the rounds' log ratios; its standard error is that of a mean, with n - 1 degrees of freedom.

    It is what another run's can be divided by. A round that is censored or zero in either leaves none, and one round
    has no standard error. Raises ValueError for negative and missing numbers.
    """
    logs = log_ratios(values, bases)
    n = len(logs)
    if not n:
        return LogRatio(None, None, 0.0, 0, "no round has both")
    if open_ := sum(not math.isfinite(log) for log in logs):
        return LogRatio(None, None, 0.0, n, f"{open_} of {n} rounds are censored, or zero")
    if n == 1:
        return LogRatio(logs[0], None, 0.0, n, "one round does not say how much rounds differ")
    return LogRatio(fmean(logs), stdev(logs) / math.sqrt(n), n - 1.0, n)


def log_ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Return ln(value / base) by round; NaN where both are infinite or both are zero.

    Raises ValueError for negative and missing numbers, and for sequences of different lengths.
    """
    return [_log(value) - _log(base) for value, base in zip(values, bases, strict=True)]


def _log(number: float) -> float:
    if not number >= 0:
        raise ValueError(f"a ratio takes numbers from 0 on, not {number}")
    return math.log(number) if number else -math.inf


def walsh_averages(numbers: Sequence[float], undecided: float) -> list[float]:
    """Return the n (n + 1) / 2 averages of two, sorted. ``undecided`` stands for that of two opposite infinities."""
    averages = ((one + other) / 2 for one, other in combinations_with_replacement(numbers, 2))
    return sorted(undecided if math.isnan(average) else average for average in averages)


@cache
def find_signed_rank_bound(n: int, confidence: float = CONFIDENCE) -> tuple[int, float]:
    """Return the k of the confidence interval by Walsh averages, and its coverage.

    It is the largest k for which the k-th smallest and k-th largest Walsh average of ``n`` enclose the centre of
    symmetry.

    The probability is 1 - 2 P(T < k). T is the sum of those of the ranks 1 to n that a fair coin picks for each; its
    distribution is exact at any n, rank by rank. k is 0 when even the extremes do not reach ``confidence``: fewer than
    6 rounds for 95 %.
    """
    probability = np.zeros(n * (n + 1) // 2 + 1)
    probability[0] = 1.0
    for rank in range(1, n + 1):
        picked = probability[:-rank] / 2
        probability /= 2
        probability[rank:] += picked
    cumulative = np.cumsum(probability)
    k = int(np.searchsorted(cumulative, (1 - confidence) / 2, side="right"))
    return k, 1.0 - 2.0 * float(cumulative[k - 1]) if k else 0.0
