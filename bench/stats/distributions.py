"""Computes the binomial distribution and Student's t exactly.

Both come from the incomplete beta function.
"""

import math
from collections.abc import Callable
from functools import cache

_TINY = 1e-300
_PRECISION = 1e-14


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for positive ``a`` and ``b`` and ``x`` from 0 to 1.

    By its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22), evaluated with Lentz's method
    (Press et al., Numerical Recipes, 3rd ed. 2007, sections 5.2 and 6.4) in about the square root of a + b steps.
    """
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise ValueError(f"the incomplete beta function is not defined at a={a}, b={b}, x={x}")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # beyond its mean the fraction converges slowly, and its mirror image fast
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1))
    fraction, step, m = d, 0.0, 0
    while abs(step - 1.0) > _PRECISION:
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _not_zero(1.0 + term * d)
            c = _not_zero(1.0 + term / c)
            step = c * d
            fraction *= step
    return min(1.0, front * fraction)


def _not_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY


def binomial_cdf(successes: int, n: int, p: float) -> float:
    """Return the probability of at most ``successes`` in ``n`` trials (DLMF 8.17.5)."""
    if successes < 0:
        return 0.0
    if successes >= n:
        return 1.0
    return incomplete_beta(n - successes, successes + 1, 1.0 - p)


@cache
def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t with ``degrees`` degrees of freedom, for a probability from 0.5 to below 1.

    Inverts P(|T| > t) = I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t**2) (Abramowitz & Stegun 26.7.1).
    Raises ValueError outside of these ranges.
    """
    if not (0.5 <= probability < 1 and degrees >= 1):
        raise ValueError(f"no quantile {probability} of Student's t with {degrees} degrees of freedom")
    beyond_both = 2 * (1 - probability)
    x = find_boundary(lambda x: incomplete_beta(degrees / 2, 0.5, x) <= beyond_both, 0.0, 1.0)
    return math.sqrt(degrees * (1 - x) / x)


def t_beyond(t: float, degrees: float) -> float:
    """Return the probability that Student's t with ``degrees`` degrees of freedom is ``t`` or more away from 0.

    It is I_x(degrees / 2, 1 / 2) with x = degrees / (degrees + t**2) (Abramowitz & Stegun 26.7.1). Raises ValueError
    for degrees that are not positive.
    """
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))


def find_boundary(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return where a condition that holds at ``low`` and not at ``high`` ceases to hold, to a float's precision."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
