"""Classifies a ratio as less, more, equivalent or undecided, by its interval."""

from enum import StrEnum

from bench.stats.intervals import Estimate

EQUIVALENCE_BAND = 1.1
"""A ratio from 1 / ``BAND`` to ``BAND`` makes no practical difference: nobody chooses a method for a tenth."""


class Verdict(StrEnum):
    """What the interval of a ratio shows."""

    LESS = "less"
    """All of it lies below the band."""
    MORE = "more"
    """All of it lies above the band."""
    SAME = "no practical difference"
    """All of it lies inside the band."""
    OPEN = "no difference shown"
    """It reaches into the band and beyond it, or there is none."""

    @property
    def is_tie(self) -> bool:
        return self in (Verdict.SAME, Verdict.OPEN)


def classify_ratio(ratio: Estimate, band: float = EQUIVALENCE_BAND) -> Verdict:
    """Return what the interval of a ratio shows, given a band of no practical difference.

    The band runs from 1 / ``band`` to ``band``, ends included.
    """
    if ratio.low is None or ratio.high is None:
        return Verdict.OPEN
    if ratio.high < 1 / band:
        return Verdict.LESS
    if ratio.low > band:
        return Verdict.MORE
    return Verdict.SAME if ratio.low >= 1 / band and ratio.high <= band else Verdict.OPEN
