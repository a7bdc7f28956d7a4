"""Tests whether the gaps between sends followed the plan, with Kolmogorov-Smirnov distances.

A gap may deviate by a tolerance, for lateness. The test is Lancet's idea (Kogias, Mallon & Bugnion, USENIX ATC 2019): a
generator that bunches its sends, or keeps a beat where it should be random, measures another load than the one it
names, however right the mean rate is.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

CRITICAL_VALUE = 1.63
"""sqrt(n) D stays below it in 99 % of large samples that follow the law (Smirnov 1948; Massey, JASA 46, 1951)."""


@dataclass(frozen=True, slots=True)
class GapTestResult:
    """The result of a gap test: the largest difference of two distribution functions, and its critical value at 1 %."""

    distance: float
    threshold: float

    @property
    def passed(self) -> bool:
        return self.distance <= self.threshold


class GapDistribution:
    """An empirical distribution of gaps, in any unit, from one gap each or from a histogram's classes."""

    def __init__(self, counts: Mapping[int, int] | Mapping[float, int]) -> None:
        """``counts``: how many gaps have a value. Raises ValueError when there is none."""
        self.values: list[float] = sorted(value for value, count in counts.items() if count)
        self._up_to = [0, *accumulate(count for _, count in sorted(counts.items()) if count)]
        self.n = self._up_to[-1]
        if not self.n:
            raise ValueError("a gap test takes at least one gap: two sends")

    @classmethod
    def from_instants(cls, instants: Iterable[float]) -> "GapDistribution":
        """Return the distribution of gaps between these instants, sorted first. Raises ValueError below two."""
        counts: dict[float, int] = {}
        for one, next_ in pairwise(sorted(instants)):
            counts[next_ - one] = counts.get(next_ - one, 0) + 1
        return cls(counts)

    def at_most(self, gap: float) -> float:
        """Return the share of gaps up to and including this one."""
        return self._up_to[bisect_right(self.values, gap)] / self.n

    def below(self, gap: float) -> float:
        """Return the share of gaps shorter than this one."""
        return self._up_to[bisect_left(self.values, gap)] / self.n


def compare_with_plan(sent: GapDistribution, planned: GapDistribution, tolerance: float = 0.0) -> GapTestResult:
    """Compare the gaps of sends with those of the plan, whatever its law (two-sample test; Smirnov 1939).

    A gap may differ by ``tolerance`` before it counts: the distance is the most by which the share of sent gaps up to
    some length exceeds that of planned gaps up to the length plus the tolerance, or the other way round, so it is never
    more than Smirnov's. Without it a constant plan, whose gaps are all equal, fails for a microsecond. Sent gaps come
    from planned ones and are no independent sample of the same law, which only makes it harder to fail by chance.
    """
    return GapTestResult(
        _largest_distance(sent, planned.at_most, planned.below, tolerance),
        CRITICAL_VALUE * math.sqrt((sent.n + planned.n) / (sent.n * planned.n)),
    )


def compare_with_poisson(sent: GapDistribution, per_unit: float, tolerance: float = 0.0) -> GapTestResult:
    """Compare the gaps of sends with those of a Poisson process of ``per_unit`` arrivals in the gaps' unit of time.

    The rate is the one that was asked for, not one fitted to the gaps, so the threshold needs no correction.
    """

    def law(gap: float) -> float:
        return -math.expm1(-per_unit * gap) if gap > 0 else 0.0

    return GapTestResult(_largest_distance(sent, law, law, tolerance), CRITICAL_VALUE / math.sqrt(sent.n))


def _largest_distance(
    sent: GapDistribution, at_most: Callable[[float], float], below: Callable[[float], float], tolerance: float
) -> float:
    """The supremum lies at a step of the sent gaps: just on it, or just before it."""
    return max(
        max(sent.at_most(gap) - at_most(gap + tolerance), below(gap - tolerance) - sent.below(gap))
        for gap in sent.values
    )
