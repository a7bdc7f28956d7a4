"""Estimates ratios between two runs, whose trials share no rounds (Hodges-Lehmann)."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import product
from statistics import median

import numpy as np
import numpy.typing as npt

from bench.stats.intervals import CONFIDENCE, Estimate
from bench.stats.paired import log_ratios


def unpaired_ratio(values: Sequence[float], bases: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Return the ratio of the values to the bases: Hodges and Lehmann's shift of the logarithms, turned back.

    The estimate is the median of all differences of a logarithm on one side and one on the other; the interval runs
    from the k-th smallest to the k-th largest of them, k from the exact distribution of Mann and Whitney's U (Hodges &
    Lehmann, Annals of Mathematical Statistics 34, 1963; Hollander, Wolfe & Chicken, Nonparametric Statistical Methods,
    3rd ed. 2014, sections 4.2 and 4.3). It takes the logarithms of both sides to scatter alike but for the shift. A to
    B is one over B to A. ``n`` is the fewer trials of the two sides.

    A censored (infinite) number is larger than any measured one. The ratio of two of them may be anything: it is the
    lowest for the lower end and the highest for the upper, and when the estimate depends on it there is none. Zeros are
    the mirror image. Raises ValueError for negative and missing numbers.
    """
    n = min(len(values), len(bases))
    if not n:
        return Estimate(None, None, None, None, 0, "one of the two has no such number")
    each_value, each_base = zip(*product(values, bases), strict=True)
    logs = log_ratios(each_value, each_base)
    lowest, highest = (sorted(end if math.isnan(log) else log for log in logs) for end in (-math.inf, math.inf))
    if (middle := median(lowest)) != median(highest) or math.isnan(middle):
        return Estimate(None, None, None, None, n, "trials censored on both sides leave the ratio open")
    k, coverage = find_rank_sum_bound(len(values), len(bases), confidence)
    if not k:
        reason = f"{confidence:.0%} need more trials than {len(values)} and {len(bases)}"
        return Estimate(math.exp(middle), None, None, None, n, reason)
    return Estimate(math.exp(middle), math.exp(lowest[k - 1]), math.exp(highest[-k]), coverage, n)


@cache
def find_rank_sum_bound(m: int, n: int, confidence: float = CONFIDENCE) -> tuple[int, float]:
    """Return the k of the confidence interval by pairwise differences, and its coverage.

    It is the largest k for which the k-th smallest and k-th largest difference enclose the shift.

    The differences are ``m * n``, the probability is 1 - 2 P(U < k). k is 0 when even the extremes do not reach
    ``confidence``: with fewer than 4 and 4, or 3 and 5, for 95 %.
    """
    cumulative = np.cumsum(_mann_whitney_distribution(m, n))
    k = int(np.searchsorted(cumulative, (1 - confidence) / 2, side="right"))
    return k, 1.0 - 2.0 * float(cumulative[k - 1]) if k else 0.0


def _mann_whitney_distribution(m: int, n: int) -> npt.NDArray[np.float64]:
    """P(U = u) for u from 0 to m n, if both sides are alike.

    The largest of all m + n is one of the m with probability m / (m + n), and then lies above all n; so
    p(m, n, u) = (m p(m - 1, n, u - n) + n p(m, n - 1, u)) / (m + n) (Mann & Whitney, Annals of Mathematical Statistics
    18, 1947).
    """
    size = m * n + 1
    nothing = np.zeros(size)
    nothing[0] = 1.0
    of_fewer = [nothing] * (n + 1)
    for a in range(1, m + 1):
        row = [nothing]
        for b in range(1, n + 1):
            found = b / (a + b) * row[b - 1]
            found[b:] += a / (a + b) * of_fewer[b][: size - b]
            row.append(found)
        of_fewer = row
    return of_fewer[n]
