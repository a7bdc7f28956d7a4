"""Did the gaps between sends follow the plan? Kolmogorov and Smirnov's distance, with an allowance for lateness.

The test is Lancet's idea (Kogias, Mallon & Bugnion, USENIX ATC 2019): a generator that bunches its sends, or keeps a
beat where it should be random, measures another load than the one it names, however right the mean rate is.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

CRITICAL = 1.63
"""sqrt(n) D stays below it in 99 % of large samples that follow the law (Smirnov 1948; Massey, JASA 46, 1951)."""


@dataclass(frozen=True, slots=True)
class GapTest:
    """The largest difference of two distribution functions, and what it may be by chance, at a level of 1 %."""

    distance: float
    threshold: float

    @property
    def passed(self) -> bool:
        return self.distance <= self.threshold


class Gaps:
    """An empirical distribution of gaps, in any unit, from one gap each or from a histogram's classes."""

    def __init__(self, counts: Mapping[int, int] | Mapping[float, int]) -> None:
        """``counts``: how many gaps have a value. Raises ValueError when there is none."""
        self.values: list[float] = sorted(value for value, count in counts.items() if count)
        self._up_to = [0, *accumulate(count for _, count in sorted(counts.items()) if count)]
        self.n = self._up_to[-1]
        if not self.n:
            raise ValueError("a gap test takes at least one gap: two sends")

    @classmethod
    def between(cls, instants: Iterable[float]) -> "Gaps":
        """Of instants in their order; sends that overtook one another are put in order first."""
        counts: dict[float, int] = {}
        for one, next_ in pairwise(sorted(instants)):
            counts[next_ - one] = counts.get(next_ - one, 0) + 1
        return cls(counts)

    def at_most(self, gap: float) -> float:
        """The share of gaps up to and including this one."""
        return self._up_to[bisect_right(self.values, gap)] / self.n

    def below(self, gap: float) -> float:
        """The share of gaps shorter than this one."""
        return self._up_to[bisect_left(self.values, gap)] / self.n


def against_plan(sent: Gaps, planned: Gaps, tolerance: float = 0.0) -> GapTest:
    """Sent gaps against those of the plan, whatever its law (two-sample test; Smirnov 1939).

    A gap may differ by ``tolerance`` before it counts: the distance is the most by which the share of sent gaps up to
    some length exceeds that of planned gaps up to the length plus the tolerance, or the other way round, so it is never
    more than Smirnov's. Without it a constant plan, whose gaps are all equal, fails for a microsecond. Sent gaps come
    from planned ones and are no independent sample of the same law, which only makes it harder to fail by chance.
    """
    return GapTest(
        _distance(sent, planned.at_most, planned.below, tolerance),
        CRITICAL * math.sqrt((sent.n + planned.n) / (sent.n * planned.n)),
    )


def against_poisson(sent: Gaps, per_unit: float, tolerance: float = 0.0) -> GapTest:
    """Sent gaps against those of a Poisson process: exponential, with ``per_unit`` arrivals in the gaps' unit of time.

    The rate is the one that was asked for, not one fitted to the gaps, so the threshold needs no correction.
    """

    def law(gap: float) -> float:
        return -math.expm1(-per_unit * gap) if gap > 0 else 0.0

    return GapTest(_distance(sent, law, law, tolerance), CRITICAL / math.sqrt(sent.n))


def _distance(
    sent: Gaps, at_most: Callable[[float], float], below: Callable[[float], float], tolerance: float
) -> float:
    """The supremum lies at a step of the sent gaps: just on it, or just before it."""
    return max(
        max(sent.at_most(gap) - at_most(gap + tolerance), below(gap - tolerance) - sent.below(gap))
        for gap in sent.values
    )
