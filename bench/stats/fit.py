"""A straight line through measurements whose errors grow with them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.stats.distributions import t_quantile
from bench.stats.intervals import CONFIDENCE, Estimate

PASSES = 6
"""Of the weights; after three the line changes by less than a thousandth."""


@dataclass(frozen=True, slots=True)
class Line:
    """``intercept + slope x``, each with its interval."""

    slope: Estimate
    intercept: Estimate


def line(x: Sequence[float], y: Sequence[float], confidence: float = CONFIDENCE) -> Line:
    """The line whose relative errors are least: weighted least squares with 1 / the fitted value squared as weights.

    The weights are taken anew from the fit until they no longer change it (iteratively reweighted), since those of the
    measured values would favour what is low by chance. n - 2 degrees of freedom (Draper & Smith, Applied Regression
    Analysis, 3rd ed. 1998, section 9.2). A large order scatters by as many per cent as a small one, and unweighted the
    largest would decide alone. Without an interval, and with a reason, for fewer than 3 points, for points at one place
    only, and for a y that is missing, infinite or not above 0. Raises ValueError when x and y are not as many.
    """
    n = len(x)
    if n != len(y):
        raise ValueError(f"{n} places and {len(y)} values make no line")
    if not all(math.isfinite(value) and value > 0 for value in y):
        return _none(n, "a value is missing, censored or not above 0")
    if n < 3 or len(set(x)) < 2:
        return _none(n, f"a line with an interval takes 3 points at 2 places, there are {n} at {len(set(x))}")
    expected = list(y)
    for _ in range(PASSES):
        found, fitted = _weighted(x, y, [1 / value**2 for value in expected], confidence)
        if min(fitted) <= 0:
            return _none(n, "the line goes below 0 among the points")
        expected = fitted
    return found


def _weighted(
    x: Sequence[float], y: Sequence[float], weights: Sequence[float], confidence: float
) -> tuple[Line, list[float]]:
    """The line, and its values at ``x``."""
    n, total = len(x), math.fsum(weights)
    mean_x = math.fsum(w * at for w, at in zip(weights, x, strict=True)) / total
    mean_y = math.fsum(w * value for w, value in zip(weights, y, strict=True)) / total
    spread = math.fsum(w * (at - mean_x) ** 2 for w, at in zip(weights, x, strict=True))
    slope = math.fsum(w * (at - mean_x) * value for w, at, value in zip(weights, x, y, strict=True)) / spread
    intercept = mean_y - slope * mean_x
    fitted = [intercept + slope * at for at in x]
    residual = math.fsum(w * (value - at) ** 2 for w, value, at in zip(weights, y, fitted, strict=True)) / (n - 2)
    t = t_quantile((1 + confidence) / 2, n - 2)
    slope_margin = t * math.sqrt(residual / spread)
    intercept_margin = t * math.sqrt(residual * (1 / total + mean_x**2 / spread))
    line = Line(
        Estimate(slope, slope - slope_margin, slope + slope_margin, confidence, n),
        Estimate(intercept, intercept - intercept_margin, intercept + intercept_margin, confidence, n),
    )
    return line, fitted


def _none(n: int, reason: str) -> Line:
    nothing = Estimate(None, None, None, None, n, reason)
    return Line(nothing, nothing)
