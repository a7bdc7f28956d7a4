"""Tests whether a series rises or falls, for the end of warm-up and for a growing backlog."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from bench.stats.distributions import t_quantile
from bench.stats.intervals import CONFIDENCE

WARM_UP_WINDOWS = 5
"""How many windows the warm-up looks back on."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Change from one window to the next, with its 95 % interval; significant when the interval excludes 0."""

    per_window: float
    low: float
    high: float

    @property
    def rises(self) -> bool:
        return self.low > 0

    @property
    def falls(self) -> bool:
        return self.high < 0


def fit_slope(values: Sequence[float], confidence: float = CONFIDENCE) -> Slope:
    """Return the least-squares slope of evenly spaced windows and its two-sided t interval, n - 2 degrees of freedom.

    (Draper & Smith, Applied Regression Analysis, 3rd ed. 1998, sections 1.2 and 1.4.) It takes windows to scatter
    independently about the line. Neighbouring windows of a busy queue resemble one another, so a slope is called
    significant more often than one time in twenty when there is none; longer windows lessen it. Raises ValueError for
    fewer than 3 windows, which leave no degree of freedom, and for infinite or missing values.
    """
    n = len(values)
    if n < 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"a slope with an interval takes 3 finite values or more, not {list(values)}")
    middle, mean = (n - 1) / 2, math.fsum(values) / n
    spread = n * (n * n - 1) / 12
    per_window = math.fsum((at - middle) * value for at, value in enumerate(values)) / spread
    residual = math.fsum((value - mean - per_window * (at - middle)) ** 2 for at, value in enumerate(values))
    margin = _t((1 + confidence) / 2, n - 2) * math.sqrt(residual / (n - 2) / spread)
    return Slope(per_window, per_window - margin, per_window + margin)


_t = cache(t_quantile)


def is_steady(in_flight: Sequence[float], p50: Sequence[float], last: int = WARM_UP_WINDOWS) -> bool:
    """Return whether neither the orders in flight nor the median response rose or fell over the ``last`` windows.

    False with fewer windows, or with one in which no order finished (an infinite or missing median).
    """
    recent = [series[-last:] for series in (in_flight, p50)]
    if any(len(series) < last or not all(map(math.isfinite, series)) for series in recent):
        return False
    return not any(found.rises or found.falls for found in map(fit_slope, recent))


def backlog_grows(in_flight: Sequence[float], least_per_window: float = 0.0) -> bool:
    """Return whether the orders in flight rise over all windows, significantly faster than ``least_per_window``.

    A queue near its limit wanders, and wandering looks like a slope. A backlog grows by arrivals less completions: give
    a share of the orders that arrive in a window to ask for that much. Over 12 windows of a second, of M/M/1 queues at
    97 % of their capacity 16 % seem to grow, and 1 % when it takes 1 % of the arrivals; of those at 105 % nearly all
    are found either way (300 simulated queues each). Raises ValueError as ``fit_slope`` does.
    """
    return fit_slope(in_flight).low > least_per_window
