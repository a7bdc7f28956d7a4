"""Computes the rank of a quantile, its interval, and how many samples it needs."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache

from bench.stats.distributions import binomial_cdf

CONFIDENCE = 0.99
"""With which a bound above the quantile must exist before it is shown."""


def quantile_rank(quantile: Fraction, n: int) -> int:
    """Return the 1-based rank of a quantile among ``n`` samples: the inverse of the empirical distribution function.

    Definition 1 of Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American Statistician 50 (1996). It
    never interpolates, so a quantile is a latency that was measured, or is censored as a whole. Raises ValueError for a
    quantile outside of 0 to 1, and for no samples.
    """
    if not 0 < quantile < 1 or n < 1:
        raise ValueError(f"no rank for quantile {quantile} of {n} samples")
    return -(-n * quantile.numerator // quantile.denominator)


@cache
def samples_needed(quantile: Fraction, confidence: float = CONFIDENCE) -> int:
    """Return the fewest samples of which at least two lie beyond the quantile with ``confidence``.

    How many lie beyond is binomial (David & Nagaraja, Order Statistics, 3rd ed. 2003, section 7.1), so this is the
    least n with q**n + n (1 - q) q**(n - 1) <= 1 - confidence: 11 for the median, 662 for p99, 6,636 for p99.9.
    """
    below, beyond = float(quantile), float(1 - quantile)

    def too_few(n: int) -> bool:
        return below**n + n * beyond * below ** (n - 1) > 1 - confidence

    low, high = 1, 2
    while too_few(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_few(middle) else (low, middle)
    return high


@cache
def interval_ranks(quantile: Fraction, n: int, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """The 1-based ranks between which a quantile lies with ``confidence``, whatever the distribution of ``n`` samples.

    How many samples lie below the quantile is binomial, so the j-th smallest lies above it with P(Bin(n, q) < j), and
    the k-th below it with P(Bin(n, q) >= k); j is the largest and k the smallest rank for which that is at most half of
    1 - ``confidence`` (David & Nagaraja, Order Statistics, 3rd ed. 2003, section 7.1). None where that rank is not one
    of 1 to n: so few samples give no bound on that side. The normal approximation that others print (Le Boudec,
    Performance Evaluation, 2010, theorem 2.1) puts k one rank higher at p99. It holds for independent samples: those of
    one trial queue behind one another, so it speaks of this trial's orders and says nothing about another trial.
    """
    if not 0 < quantile < 1 or n < 1:
        raise ValueError(f"no ranks for quantile {quantile} of {n} samples")
    tail = (1 - confidence) / 2
    p = float(quantile)
    below = _find_least(lambda count: binomial_cdf(count, n, p) > tail, n)
    above = _find_least(lambda count: binomial_cdf(count, n, p) >= 1 - tail, n) + 1
    return below or None, above if above <= n else None


def _find_least(enough: Callable[[int], bool], most: int) -> int:
    """The least count from 0 to ``most`` that is enough, when all above it are as well."""
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def find_bucket(counts: Sequence[int], wanted: int) -> int | None:
    """Return the index of the histogram bucket with the sample of a 1-based rank; None with fewer samples."""
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            return index
    return None
