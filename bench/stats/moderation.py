"""Estimates how much variances differ from one another (Smyth), so that one of few values borrows from the others."""

import math
from collections.abc import Sequence
from statistics import fmean, variance


def fit_variance_prior(variances: Sequence[float], degrees: Sequence[float]) -> tuple[float, float]:
    """Return the middle ``s0**2`` of true variances and their degrees of freedom ``d0``, from estimates of them.

    Each estimate has its own ``degrees``. The true ones are taken to scatter as a scaled inverse chi-square: the fewer
    ``d0``, the more they differ; infinite: by no more than chance. With e = ln s**2 - psi(d/2) + ln(d/2), d0 solves
    trigamma(d0/2) = var(e) - mean(trigamma(d/2)), and ln s0**2 = mean(e) + psi(d0/2) - ln(d0/2) (Smyth, Statistical
    Applications in Genetics and Molecular Biology 3(1), article 3, 2004, section 6.2). Raises ValueError for fewer than
    two estimates, and for one that is not positive.
    """
    if len(variances) < 2 or min(*variances, *degrees) <= 0:
        raise ValueError("a prior takes two positive variances or more, each with positive degrees of freedom")
    halves = [of / 2 for of in degrees]
    logs = [math.log(found) - digamma(half) + math.log(half) for found, half in zip(variances, halves, strict=True)]
    beyond_chance = variance(logs) - fmean(map(trigamma, halves))
    if beyond_chance <= 0:
        return math.exp(fmean(logs)), math.inf
    half = invert_trigamma(beyond_chance)
    return math.exp(fmean(logs) + digamma(half) - math.log(half)), 2 * half


def digamma(x: float) -> float:
    """Return the derivative of ln gamma at a positive ``x``: recurrence, then asymptotic series (DLMF 5.11.2)."""
    _require_positive(x)
    below = 0.0
    while x < 10:
        below -= 1 / x
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return below + math.log(x) - 1 / (2 * x) - series


def trigamma(x: float) -> float:
    """Return the second derivative of ln gamma at a positive ``x`` (DLMF 5.15.8, after its recurrence 5.15.5)."""
    _require_positive(x)
    below = 0.0
    while x < 10:
        below += 1 / (x * x)
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 6 - square * (1 / 30 - square * (1 / 42 - square * (1 / 30 - square * 5 / 66))))
    return below + 1 / x + square / 2 + series / x


def invert_trigamma(value: float) -> float:
    """Return the x at which trigamma is a positive ``value``: bisection of ln x, to a float's precision."""
    _require_positive(value)
    # 1/x < trigamma(x) < 1/x + 1/x**2.
    low, high = math.log(1 / value) - 1, math.log(1 / value + 1 / math.sqrt(value)) + 1
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if trigamma(math.exp(middle)) > value else (low, middle)
    return math.exp(low)


def _require_positive(x: float) -> None:
    if not x > 0:
        raise ValueError(f"only positive numbers have one, not {x}")
