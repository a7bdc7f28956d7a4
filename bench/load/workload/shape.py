"""Rate shapes: how the arrival rate varies over time, as a piecewise constant factor.

    area(t) = ∫₀ᵗ factor,   inverse(area(t)) = t wherever the factor is not zero

Times are seconds after the window has opened.
"""

import math
from typing import Protocol

import msgspec


class RateShape(Protocol):
    """The integral of a rate factor and its inverse; arrivals are mapped through them."""

    def area(self, at_s: float) -> float:
        """Returns the integral of the factor from 0 to ``at_s``, in seconds."""

    def inverse(self, area: float) -> float:
        """Returns when the integral reaches ``area``, in seconds; where the factor is 0, one end of that silence."""


class SteadyRate:
    """A constant rate: the factor is 1."""

    def area(self, at_s: float) -> float:
        return at_s

    def inverse(self, area: float) -> float:
        return area


STEADY_RATE = SteadyRate()


class RateStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rate step: ``factor`` times the rate from ``at_s`` on, for ``for_s``. A factor of 0 is a silence.

    Raises ValueError with a sentence.
    """

    factor: float = 3.0
    at_s: float = 2.0
    for_s: float = 2.0

    def __post_init__(self) -> None:
        if not (self.factor >= 0 and math.isfinite(self.factor)):
            raise ValueError(f"a step goes to 0 or more times the rate, not {self.factor}")
        if not (self.at_s >= 0 and self.for_s > 0 and math.isfinite(self.at_s + self.for_s)):
            raise ValueError(f"a step begins at 0 s or later and lasts, not from {self.at_s} s for {self.for_s} s")

    def area(self, at_s: float) -> float:
        return at_s + (self.factor - 1) * min(max(at_s - self.at_s, 0.0), self.for_s)

    def inverse(self, area: float) -> float:
        over = area - self.at_s
        if over <= 0:
            return area
        if over < self.factor * self.for_s:
            return self.at_s + over / self.factor
        return area - (self.factor - 1) * self.for_s


class RateBurst(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Periodic bursts: all orders of a period come within its first 1/``peak``, at ``peak`` times the rate.

    The mean over whole periods is the rate itself. Raises ValueError with a sentence.
    """

    peak: float = 10.0
    period_s: float = 2.0

    def __post_init__(self) -> None:
        if not (self.peak >= 1 and math.isfinite(self.peak)):
            raise ValueError(f"a burst goes to 1 or more times the mean rate, not {self.peak}")
        if not (self.period_s > 0 and math.isfinite(self.period_s)):
            raise ValueError(f"a burst's period is a positive number of seconds, not {self.period_s}")

    def area(self, at_s: float) -> float:
        periods, within_s = divmod(at_s, self.period_s)
        return periods * self.period_s + min(within_s * self.peak, self.period_s)

    def inverse(self, area: float) -> float:
        periods, within = divmod(area, self.period_s)
        return periods * self.period_s + within / self.peak


def choose_rate_shape(arrivals: str, step: RateStep, burst: RateBurst) -> RateShape:
    """Returns the rate shape for arrivals of this kind; all but ``step`` and ``burst`` are steady."""
    shapes: dict[str, RateShape] = {"step": step, "burst": burst}
    return shapes.get(arrivals, STEADY_RATE)
