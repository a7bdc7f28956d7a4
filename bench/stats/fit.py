"""Fits a straight line to measurements whose errors grow with them, taken in rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import NamedTuple

from bench.stats.distributions import t_quantile
from bench.stats.intervals import CONFIDENCE, Estimate

REWEIGHTING_PASSES = 6
"""Of the weights; after three the line changes by less than a thousandth."""


@dataclass(frozen=True, slots=True)
class FittedLine:
    """``intercept + slope x``, each with its interval."""

    slope: Estimate
    intercept: Estimate


MAX_MISFIT = 0.15
"""By how much the mean at a place may miss the line; beyond it the line says so."""


def fit_line(
    x: Sequence[float], y: Sequence[float], rounds: Sequence[object] = (), confidence: float = CONFIDENCE
) -> FittedLine:
    """The line whose relative errors are least: weighted least squares with 1 / the fitted value squared as weights.

    The weights are taken anew from the fit until they no longer change it (iteratively reweighted), since those of the
    measured values would favour what is low by chance (Draper & Smith, Applied Regression Analysis, 3rd ed. 1998,
    section 9.2). A large order scatters by as many per cent as a small one, and unweighted the largest would decide
    alone.

    The points of one round, of which ``rounds`` has a name each, share their luck: a factor for each round is taken out
    before the fit, and how these factors scatter is added to the variance of both numbers, as the rounds are a sample
    of many (a mixed model; degrees of freedom after Satterthwaite, Biometrics Bulletin 2, 1946). Without ``rounds``
    every point has its own luck.

    Without an interval, and with a reason, for fewer than 3 points, for points at one place only, and for a y that is
    missing, infinite or not above 0. With a reason beside the interval when the mean at a place misses the line by
    ``STRAIGHT``. Raises ValueError when x, y and rounds are not as many.
    """
    n = len(x)
    if n != len(y) or (rounds and n != len(rounds)):
        raise ValueError(f"{n} places and {len(y)} values make no line")
    if not all(math.isfinite(value) and value > 0 for value in y):
        return _build_empty_line(n, "a value is missing, censored or not above 0")
    if n < 3 or len(set(x)) < 2:
        return _build_empty_line(
            n, f"a line with an interval takes 3 points at 2 places, there are {n} at {len(set(x))}"
        )
    expected, even = list(y), list(y)
    of_round: dict[object, float] = {}
    for _ in range(REWEIGHTING_PASSES):
        found = _fit_weighted(x, even, [1 / value**2 for value in expected], max(1, len(of_round)))
        expected = [found.intercept + found.slope * at for at in x]
        if min(expected) <= 0:
            return _build_empty_line(n, "the line goes below 0 among the points")
        of_round = _estimate_round_effects(
            rounds, [math.log(value / line_) for value, line_ in zip(y, expected, strict=True)]
        )
        if of_round:
            even = [value / math.exp(of_round[name]) for value, name in zip(y, rounds, strict=True)]
    if found.degrees < 1:
        return _build_empty_line(n, f"{n} points in {len(of_round)} rounds leave no degree of freedom")
    reason = _describe_misfit(x, even, expected)
    shared = variance(of_round.values()) / len(of_round) if len(of_round) > 1 else 0.0
    ends = []
    for value, own in ((found.slope, found.slope_variance), (found.intercept, found.intercept_variance)):
        luck = value**2 * shared
        degrees = _satterthwaite((own, found.degrees), (luck, max(1, len(of_round) - 1)))
        margin = t_quantile((1 + confidence) / 2, degrees) * math.sqrt(own + luck)
        ends.append(Estimate(value, value - margin, value + margin, confidence, n, reason))
    return FittedLine(*ends)


def _estimate_round_effects(rounds: Sequence[object], residuals: Sequence[float]) -> dict[object, float]:
    """The mean residual of each round, over the mean of all rounds'; empty for a single round."""
    of_round: dict[object, list[float]] = {}
    for name, residual in zip(rounds, residuals, strict=False):
        of_round.setdefault(name, []).append(residual)
    means = {name: fmean(some) for name, some in of_round.items()}
    middle = fmean(means.values()) if means else 0.0
    return {name: mean - middle for name, mean in means.items()} if len(means) > 1 else {}


def _satterthwaite(*parts: tuple[float, int]) -> int:
    """Whole degrees of freedom, not too many, of a sum of variances that have so many each."""
    below = math.fsum(part**2 / degrees for part, degrees in parts)
    return max(1, math.floor(math.fsum(part for part, _ in parts) ** 2 / below)) if below else parts[0][1]


def _describe_misfit(x: Sequence[float], y: Sequence[float], expected: Sequence[float]) -> str:
    """Where the mean misses the line most, if it does so by more than ``STRAIGHT``; else empty."""
    off: dict[float, list[float]] = {}
    for at, value, line_ in zip(x, y, expected, strict=True):
        off.setdefault(at, []).append(value / line_ - 1)
    at, most = max(((at, fmean(some)) for at, some in off.items()), key=lambda pair: abs(pair[1]))
    return f"no straight line: at {at:.4g} what was measured is {most:+.0%} off it" if abs(most) > MAX_MISFIT else ""


class _Fit(NamedTuple):
    slope: float
    intercept: float
    slope_variance: float
    intercept_variance: float
    degrees: int


def _fit_weighted(x: Sequence[float], y: Sequence[float], weights: Sequence[float], rounds: int) -> _Fit:
    """Of a line through points from which a factor was taken for each of so many rounds."""
    n, total = len(x), math.fsum(weights)
    degrees = n - 1 - rounds
    mean_x = math.fsum(w * at for w, at in zip(weights, x, strict=True)) / total
    mean_y = math.fsum(w * value for w, value in zip(weights, y, strict=True)) / total
    spread = math.fsum(w * (at - mean_x) ** 2 for w, at in zip(weights, x, strict=True))
    slope = math.fsum(w * (at - mean_x) * value for w, at, value in zip(weights, x, y, strict=True)) / spread
    intercept = mean_y - slope * mean_x
    fitted = [intercept + slope * at for at in x]
    squares = math.fsum(w * (value - at) ** 2 for w, value, at in zip(weights, y, fitted, strict=True))
    residual = squares / max(1, degrees)
    return _Fit(slope, intercept, residual / spread, residual * (1 / total + mean_x**2 / spread), degrees)


def _build_empty_line(n: int, reason: str) -> FittedLine:
    nothing = Estimate(None, None, None, None, n, reason)
    return FittedLine(nothing, nothing)
