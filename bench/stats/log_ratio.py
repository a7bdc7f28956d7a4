"""Tells whether a ratio differs between two runs, each of which knows its logarithm with its own standard error."""

import math
from dataclasses import dataclass

from bench.stats.distributions import t_beyond, t_quantile
from bench.stats.intervals import CONFIDENCE, Estimate


@dataclass(frozen=True, slots=True)
class LogRatio:
    """The logarithm of a ratio, as one run knows it. ``middle`` or ``error`` is None where ``reason`` says why."""

    middle: float | None
    error: float | None
    """The standard error of ``middle``."""
    degrees: float
    """Of freedom, of ``error``, at least 1; 0 without one."""
    n: int
    """Of how many rounds or sets."""
    reason: str | None = None

    def to_estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """Return the ratio, with the interval of Student's t turned back from the logarithm."""
        if self.middle is None or self.error is None:
            value = None if self.middle is None else math.exp(self.middle)
            return Estimate(value, None, None, None, self.n, self.reason)
        reach = t_quantile(1 - (1 - confidence) / 2, self.degrees) * self.error
        low, high = math.exp(self.middle - reach), math.exp(self.middle + reach)
        return Estimate(math.exp(self.middle), low, high, confidence, self.n)

    def find_chance(self) -> float | None:
        """Return how likely it is to see so large a ratio, or so small a one, where the true one is 1.

        None without a standard error.
        """
        if self.middle is None or self.error is None:
            return None
        if not self.error:
            return 0.0 if self.middle else 1.0
        return t_beyond(self.middle / self.error, self.degrees)


def divide_ratios(value: LogRatio, base: LogRatio) -> LogRatio:
    """Return the ratio of two ratios that know nothing of each other, as those of two runs.

    The logarithms are subtracted. The squared standard error is the sum of both, e1**2 + e2**2, and its degrees of
    freedom are (e1**2 + e2**2)**2 / (e1**4 / f1 + e2**4 / f2) (Welch, Biometrika 34, 1947, p. 28; Satterthwaite,
    Biometrics Bulletin 2, 1946, p. 110). They lie between the lesser of f1 and f2 and their sum. ``n`` is the lesser.
    """
    n, reason = min(value.n, base.n), value.reason or base.reason
    if value.middle is None or base.middle is None:
        return LogRatio(None, None, 0.0, n, reason)
    middle = value.middle - base.middle
    if value.error is None or base.error is None:
        return LogRatio(middle, None, 0.0, n, reason)
    variances = value.error**2, base.error**2
    whole = math.fsum(variances)
    if not whole:
        return LogRatio(middle, 0.0, value.degrees + base.degrees, n)
    # As shares, since the fourth power of a small error is no float.
    shares = [variance / whole for variance in variances]
    degrees = 1 / (shares[0] ** 2 / value.degrees + shares[1] ** 2 / base.degrees)
    return LogRatio(middle, math.sqrt(whole), degrees, n)
