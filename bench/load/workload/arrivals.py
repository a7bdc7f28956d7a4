"""Computes when each order is due: unit-rate arrivals mapped through the rate's integral.

    offset of arrival k = L⁻¹(u_k),  L(t) = ∫ rate dt,  u_k the k-th arrival of a process with rate 1

So a rate that is edited live stays reproducible: the seed gives the u_k, the edits give L.
(Time change of a Poisson process: Çinlar, Introduction to Stochastic Processes, 1975, section 4.7.)
"""

import hashlib
import math
import operator
import random
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice
from typing import Literal, get_args

from bench.load.workload.shape import STEADY_RATE, RateShape

Arrivals = Literal["poisson", "constant", "step", "burst", "replay"]
"""``step`` and ``burst`` are Poisson arrivals whose rate varies."""
ARRIVALS: tuple[str, ...] = get_args(Arrivals)

MAX_PLANNED_ORDERS = 20_000_000
"""A plan has eight bytes an order; beyond this, run until stopped instead."""

_NS = 1_000_000_000


def generate_poisson_arrivals(seed: str) -> Iterator[float]:
    """Generates the arrivals of a Poisson process with rate 1, without end.

    It is all iterators, as a plan takes millions.
    """
    uniform = random.Random(f"{seed}:arrivals").random
    minus_gaps = map(math.log1p, map(operator.neg, iter(uniform, None)))
    return islice(accumulate(minus_gaps, operator.sub, initial=0.0), 1, None)


def check_plan_size(orders: float) -> None:
    """Raises ValueError with a sentence when a plan of so many orders is too large for memory."""
    if orders > MAX_PLANNED_ORDERS:
        raise ValueError(
            f"a plan of {orders:,.0f} orders is more than {MAX_PLANNED_ORDERS:,}; make it shorter or slower"
        )


@dataclass(frozen=True, slots=True)
class ArrivalPlan:
    """Arrivals planned beforehand, with their hash. The k-th of them is the workload's order k."""

    offsets_ns: "array[int]"
    hash: str


class Schedule:
    """Arrivals one by one, in nanoseconds after the start. ``due_ns`` is the next one; None when there is none.

    With ``duration_s`` the arrivals are planned beforehand and kept to, until the rate is edited.
    Raises ValueError for an impossible rate or duration, and for a plan that is too large.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        *,
        seed: str,
        orders_per_s: float,
        duration_s: float | None = None,
        phase: float = 0.5,
        shape: RateShape = STEADY_RATE,
        trace_ns: Sequence[int] = (),
        note: str = "",
    ) -> None:
        """``phase`` is when the first constant arrival comes, in units of the gap between two.

        ``trace_ns`` are the arrivals themselves; they keep their times at ``orders_per_s``, and an edit to twice as
        much plays the rest twice as fast. ``note`` goes into the plan's hash: what else the orders depend on.
        """
        if arrivals not in ARRIVALS:
            raise ValueError(f"no arrivals {arrivals!r}; there are: {', '.join(ARRIVALS)}")
        _check_rate(orders_per_s)
        self._arrivals, self._seed, self._phase, self._trace_ns = arrivals, seed, phase, trace_ns
        self._trace_units_per_ns = orders_per_s / _NS
        self._shape = shape
        self._end_ns = math.inf if duration_s is None else duration_s * _NS - 0.5
        """What comes before it is before the end when rounded, too."""
        self._orders_per_s = orders_per_s
        self._units_then = 0.0
        """The integral of the rate up to when it was last edited."""
        self._area_then = 0.0
        """The shape's integral up to then."""
        self._taken = 0
        self.due_ns: int | None = None
        self.plan: ArrivalPlan | None = None
        self._offsets: Iterator[int] | None = None
        if duration_s is not None:
            self.plan = self._build_plan(duration_s, note)
            self._offsets = iter(self.plan.offsets_ns)
            self.due_ns = next(self._offsets, None)
        else:
            self._units = self._unit_rate_arrivals()
            self._unit = next(self._units, math.inf)
            self.due_ns = self._next_due_ns()

    def take(self) -> None:
        """Advances to the next arrival."""
        self._taken += 1
        if self._offsets is not None:
            self.due_ns = next(self._offsets, None)
        else:
            self._unit = next(self._units, math.inf)
            self.due_ns = self._next_due_ns()

    def change(self, orders_per_s: float, at_ns: int) -> None:
        """Changes the rate from ``at_ns`` on, with the same shape; the arrivals no longer follow the plan."""
        _check_rate(orders_per_s)
        if self._offsets is not None:
            self._offsets = None
            self._units = islice(self._unit_rate_arrivals(), self._taken, None)
            self._unit = next(self._units, math.inf)
        area = self._shape.area(at_ns / _NS)
        self._units_then += (area - self._area_then) * self._orders_per_s
        self._area_then = area
        self._orders_per_s = orders_per_s
        self.due_ns = self._next_due_ns()

    def _unit_rate_arrivals(self) -> Iterator[float]:
        """Arrivals of rate 1."""
        if self._arrivals == "replay":
            return (offset_ns * self._trace_units_per_ns for offset_ns in self._trace_ns)
        if self._arrivals == "constant":
            phase = self._phase
            return (number + phase for number in count())
        return generate_poisson_arrivals(self._seed)

    def _next_due_ns(self) -> int | None:
        if not self._orders_per_s:
            return None
        area = self._area_then + (self._unit - self._units_then) / self._orders_per_s
        due_ns = self._shape.inverse(area) * _NS
        return round(due_ns) if due_ns < self._end_ns else None

    def _build_plan(self, duration_s: float, note: str) -> ArrivalPlan:
        if not (duration_s > 0 and math.isfinite(duration_s)):
            raise ValueError(f"a duration is a positive number of seconds, not {duration_s}")
        offsets_ns = array("q")
        if self._arrivals == "replay":
            # Its last order falls on the end itself.
            offsets_ns.extend(self._trace_ns[: bisect_right(self._trace_ns, round(duration_s * _NS))])
        else:
            check_plan_size(self._shape.area(duration_s) * self._orders_per_s)
            offsets_ns.extend(self._map_all_arrivals())
        digest = hashlib.sha256(offsets_ns.tobytes())
        digest.update(f"{self._seed}|{duration_s}|{note}".encode())
        return ArrivalPlan(offsets_ns, digest.hexdigest())

    def _map_all_arrivals(self) -> Iterator[int]:
        """Generates what ``_next_due_ns`` gives for one arrival after the other up to the end, in half the time."""
        if not self._orders_per_s:
            return
        inverse, end_ns, orders_per_s = self._shape.inverse, self._end_ns, self._orders_per_s
        for unit in self._unit_rate_arrivals():
            due_ns = inverse(unit / orders_per_s) * _NS
            if not due_ns < end_ns:
                return
            yield round(due_ns)


def _check_rate(orders_per_s: float) -> None:
    if not (orders_per_s >= 0 and math.isfinite(orders_per_s)):
        raise ValueError(f"a rate is a number of orders a second, not {orders_per_s}")
