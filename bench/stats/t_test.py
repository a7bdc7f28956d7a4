"""Tests whether the mean of a few logarithms is above 0, and says how small a mean could have been seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.stats.distributions import t_beyond, t_quantile
from bench.stats.intervals import CONFIDENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class TTest:
    """One-sided t tests of a mean against 0, with what they rest on."""

    mean: float
    low: float
    high: float
    """Ends of the two-sided 95 % interval."""
    p_above: float
    """How often chance alone brings such a mean or a larger one."""
    p_below: float
    smallest: float
    """The mean that such a test at 5 % finds in 95 of 100 runs."""
    n: int


def t_test(values: Sequence[float]) -> TTest | None:
    """Return the tests of independent ``values``; None for fewer than two, or for values that do not scatter.

    The smallest mean is (t at 95 % + t at 95 %) s / sqrt(n), the usual approximation of the noncentral t (Chow, Shao &
    Wang, Sample Size Calculations in Clinical Research, 2nd ed. 2008, section 3.1).
    """
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    if not error:
        return None
    both = t_beyond(mean / error, n - 1)
    p_above = both / 2 if mean >= 0 else 1 - both / 2
    reach = t_quantile((1 + CONFIDENCE) / 2, n - 1) * error
    return TTest(
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        p_above=p_above,
        p_below=1 - p_above,
        smallest=2 * t_quantile(0.95, n - 1) * error,
        n=n,
    )
