"""When each order is due: a unit-rate process mapped through the integral of the asked rate.

    offset of arrival k = L⁻¹(u_k),  L(t) = ∫ rate dt,  u_k the k-th arrival of a process with rate 1

So a rate that is edited live stays reproducible: the seed gives the u_k, the edits give L.
(Time change of a Poisson process: Çinlar, Introduction to Stochastic Processes, 1975, section 4.7.)
"""

import hashlib
import math
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Literal, get_args

Arrivals = Literal["poisson", "constant"]
ARRIVALS: tuple[str, ...] = get_args(Arrivals)

MOST_ORDERS = 20_000_000
"""A plan has eight bytes an order; beyond this, run until stopped instead."""

_NS = 1_000_000_000


def unit_process(arrivals: Arrivals, seed: str, phase: float = 0.5) -> Iterator[float]:
    """The arrivals of a process with rate 1, without end. ``phase`` is when the first constant one comes."""
    if arrivals == "constant":
        return (number + phase for number in count())
    return _poisson(seed)


def _poisson(seed: str) -> Iterator[float]:
    uniform = random.Random(f"{seed}:arrivals").random
    at = 0.0
    while True:
        at -= math.log(1.0 - uniform())
        yield at


@dataclass(frozen=True, slots=True)
class Plan:
    """When orders are due at a constant rate: a list made beforehand."""

    offsets_ns: "array[int]"
    hash: str


class Schedule:
    """Arrival by arrival, in nanoseconds after the start. ``due_ns`` is the next one, None when none is in sight.

    With ``duration_s`` the arrivals are planned beforehand and kept to, until the rate is edited.
    Raises ValueError for a rate or a duration that cannot be, and for a plan that is too large.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        *,
        seed: str,
        orders_per_s: float,
        duration_s: float | None = None,
        phase: float = 0.5,
        note: str = "",
    ) -> None:
        """``note`` goes into the plan's hash: what else the orders depend on."""
        if arrivals not in ARRIVALS:
            raise ValueError(f"no arrivals {arrivals!r}; there are: {', '.join(ARRIVALS)}")
        _check_rate(orders_per_s)
        self._process = (arrivals, seed, phase)
        self._units = unit_process(*self._process)
        self._end_ns = math.inf if duration_s is None else duration_s * _NS
        self._orders_per_ns = orders_per_s / _NS
        self._since_ns = 0.0
        """When the rate was last edited."""
        self._units_then = 0.0
        """The integral of the rate up to then."""
        self._unit = next(self._units)
        self._taken = 0
        self.due_ns: int | None = self._mapped()
        self.plan: Plan | None = None
        if duration_s is not None:
            self.plan = self._planned(orders_per_s, duration_s, note)
            self._offsets: Iterator[int] | None = iter(self.plan.offsets_ns)
            self.due_ns = next(self._offsets, None)
        else:
            self._offsets = None

    def take(self) -> None:
        """The next one has been served; on to the one after it."""
        self._taken += 1
        if self._offsets is not None:
            self.due_ns = next(self._offsets, None)
        else:
            self._unit = next(self._units)
            self.due_ns = self._mapped()

    def change(self, orders_per_s: float, at_ns: int) -> None:
        """From ``at_ns`` on another rate; it is no longer the plan."""
        _check_rate(orders_per_s)
        if self._offsets is not None:
            self._offsets = None
            self._units = islice(unit_process(*self._process), self._taken, None)
            self._unit = next(self._units)
        self._units_then += (at_ns - self._since_ns) * self._orders_per_ns
        self._since_ns = at_ns
        self._orders_per_ns = orders_per_s / _NS
        self.due_ns = self._mapped()

    def _mapped(self) -> int | None:
        if not self._orders_per_ns:
            return None
        due_ns = self._since_ns + (self._unit - self._units_then) / self._orders_per_ns
        return round(due_ns) if due_ns < self._end_ns else None

    def _planned(self, orders_per_s: float, duration_s: float, note: str) -> Plan:
        if not (duration_s > 0 and math.isfinite(duration_s)):
            raise ValueError(f"a duration is a positive number of seconds, not {duration_s}")
        if orders_per_s * duration_s > MOST_ORDERS:
            raise ValueError(
                f"a plan of {orders_per_s * duration_s:,.0f} orders is more than {MOST_ORDERS:,}; "
                "make it shorter or slower"
            )
        offsets_ns = array("q")
        while self.due_ns is not None:
            offsets_ns.append(self.due_ns)
            self._unit = next(self._units)
            self.due_ns = self._mapped()
        digest = hashlib.sha256(offsets_ns.tobytes())
        digest.update(f"{self._process[1]}|{note}".encode())
        return Plan(offsets_ns, digest.hexdigest())


def _check_rate(orders_per_s: float) -> None:
    if not (orders_per_s >= 0 and math.isfinite(orders_per_s)):
        raise ValueError(f"a rate is a number of orders a second, not {orders_per_s}")
