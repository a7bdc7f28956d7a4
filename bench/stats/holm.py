"""Adjusts what chance alone would do for the number of questions that were asked at the same time."""

from collections.abc import Sequence


def adjust_chances(chances: Sequence[float]) -> list[float]:
    """Return each chance as it is when all of them were looked at together, in the order given.

    The smallest of m is taken m times, the next one m - 1 times and so on; none becomes smaller than one before it, or
    greater than 1. Where an adjusted chance of 0.05 or less is taken for a difference, chance alone brings one such
    difference or more in at most 5 of 100 comparisons, however the numbers depend on one another (Holm, Scandinavian
    Journal of Statistics 6, 1979, p. 65).
    """
    adjusted, greatest = [0.0] * len(chances), 0.0
    for place, at in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        greatest = max(greatest, min(1.0, (len(chances) - place) * chances[at]))
        adjusted[at] = greatest
    return adjusted
