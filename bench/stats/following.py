"""Tells whether a ratio to a reference differs between two runs, beyond what the reference's own move explains.

A cell need not follow the machine one to one: where REST's CPU rises by 5 %, RabbitMQ's rises by 3 % (docs/noise.md).
Its ratio to REST then moves with the machine. How it follows is seen within each run, from set to set.
"""

import math
from dataclasses import dataclass

import numpy as np

from bench.stats.distributions import t_beyond
from bench.stats.sets import Numbers

_LEAST_SCATTER = 1e-9
"""Of the reference's logarithms: with less it did not move within the runs."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Of one run, by set or round: logarithms of a cell's ratio to its reference, and of the reference itself."""

    ratios: Numbers
    reference: Numbers


def find_chance_beyond_following(b: Followed, a: Followed) -> float | None:
    """Return how likely chance alone moves the ratio so far from A to B, once the reference's move is taken off.

    It is the analysis of covariance of two groups with a common slope within them (Fisher, Statistical Methods for
    Research Workers, 4th ed. 1932, section 49.1; Snedecor & Cochran, Statistical Methods, 8th ed. 1989, section 18.3).
    With x the reference, m how far its mean moved and g the slope, the difference of the mean ratios less g m has the
    variance s**2 (1/nA + 1/nB + m**2 / sum of squares of x), s**2 being the residual one with nA + nB - 3 degrees of
    freedom. None where these are fewer than one, or where the reference did not move within the runs.
    """
    degrees = len(a.ratios) + len(b.ratios) - 3
    if degrees < 1 or not len(a.ratios) or not len(b.ratios):
        return None
    ratios, reference = (
        np.concatenate([one - one.mean() for one in pair])
        for pair in ((a.ratios, b.ratios), (a.reference, b.reference))
    )
    squares = float(reference @ reference)
    if squares < _LEAST_SCATTER**2 * len(reference):
        return None
    slope = float(ratios @ reference) / squares
    move = float(b.reference.mean() - a.reference.mean())
    left = float(b.ratios.mean() - a.ratios.mean()) - slope * move
    variance = float(((ratios - slope * reference) ** 2).sum()) / degrees
    error = math.sqrt(variance * (1 / len(a.ratios) + 1 / len(b.ratios) + move**2 / squares))
    if not error:
        return 0.0 if left else 1.0
    return t_beyond(left / error, degrees)
