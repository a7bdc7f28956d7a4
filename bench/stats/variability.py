"""Measures how much a metric varies between trials, and how often A/A intervals hold."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench.stats.distributions import binomial_cdf, find_boundary
from bench.stats.intervals import CONFIDENCE

SAME_SPEED_FACTOR = 1.25
"""Of a fixed piece of work, between two trials: beyond it the machine has changed its speed (docs/method.md)."""


@dataclass(frozen=True, slots=True)
class Proportion:
    """``held`` of ``n``, and the 95 % confidence interval of the true share."""

    held: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.held / self.n


def coefficient_of_variation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation over the mean; infinite if a value is.

    None for fewer than two values, or a mean of zero.
    """
    if len(values) < 2:
        return None
    if math.inf in values:
        return math.inf
    mean = fmean(values)
    return stdev(values) / mean if mean else None


def pair_noise(log_ratios: Sequence[float]) -> float | None:
    """Return the sample standard deviation of paired log ratios: 0.03 is about 3 % from pair to pair.

    None for fewer than two. Infinite if a pair is censored on one side. Leave out pairs censored on both, which have no
    ratio.
    """
    if len(log_ratios) < 2:
        return None
    return math.inf if any(map(math.isinf, log_ratios)) else stdev(log_ratios)


def count_intervals_covering(intervals: Iterable[tuple[float, float]], truth: float = 1.0) -> Proportion:
    """Return in how many ``intervals`` (low, high) the truth lies, ends included: of A/A ratios, 1.00 in 95 %.

    Raises ValueError for no intervals.
    """
    held = [low <= truth <= high for low, high in intervals]
    return Proportion(sum(held), len(held), *clopper_pearson(sum(held), len(held)))


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact confidence interval of a probability, after ``successes`` in ``n`` trials.

    The ends are the probabilities at which so many successes or more, or so many or fewer, come about with half of 1 -
    ``confidence`` (Clopper & Pearson, Biometrika 26, 1934). Raises ValueError when there are no trials.
    """
    if not 0 <= successes <= n or not n:
        raise ValueError(f"{successes} successes in {n} trials say nothing of a probability")
    tail = (1 - confidence) / 2
    low = find_boundary(lambda p: 1 - binomial_cdf(successes - 1, n, p) <= tail, 0.0, 1.0) if successes else 0.0
    high = find_boundary(lambda p: binomial_cdf(successes, n, p) >= tail, 0.0, 1.0) if successes < n else 1.0
    return low, high
