"""Splits the time of sampled orders into transfer, wait, handle and store steps.

    sent -transfer-> at the process -wait-> begun -handle, store-> ended -transfer-> at the next … -> finished

A stamp has the instant at which the loop had come to a message. How long the message had lain in the process's socket
by then is sampled (transports/loop_lag.py): so much of its transfer is wait.

Only orders that shipped are taken, so that all of them went the same way; the means of all steps add up to the mean
time from sent to finished. In a chain the last transfer but one is three answers long: from shipping back to user. What
the loops on that way back took stays in the transfer.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from bench.load.recorder import SampledOrder
from bench.results.rows import HopRow
from bench.stats.distributions import t_quantile
from shop.messages import KIND_BY_TYPE, OrderPlaced, OrderShipped, PaymentTaken, PlaceOrder, StockReserved
from shop.workflow import find_consumer_of_type
from transports.loop_lag import UNKNOWN_NS
from transports.tracing import Stamp

SHIPPED_PATH = (PlaceOrder, OrderPlaced, StockReserved, PaymentTaken, OrderShipped)
"""The types of message of an order that ships, visit by visit."""
_KINDS = tuple(KIND_BY_TYPE[message] for message in SHIPPED_PATH)
_SERVICES = tuple(find_consumer_of_type(message) for message in SHIPPED_PATH)
BUYER = "buyer"


@dataclass(frozen=True, slots=True)
class _Leg:
    """A sampled order's way to a service and its stay there, in nanoseconds; the last one is that to the buyer."""

    transfer_ns: int
    """Until the code of the transport had its bytes."""
    lag_ns: int
    """How much of that the receiving loop took to come to them, by samples; UNKNOWN_NS if nothing says."""
    wait_ns: int = 0
    handle_ns: int = 0
    store_ns: int = 0


def build_path_steps(orders: Iterable[SampledOrder], stamps: Iterable[Stamp]) -> list[HopRow]:
    """Returns all steps in order; empty when no sampled order can be followed from end to end.

    What a message waited for the loop of its receiver is taken from its transfer and is part of its wait.
    """
    visits: dict[str, list[Stamp]] = defaultdict(list)
    for stamp in stamps:
        visits[stamp.order_id].append(stamp)
    whole = [found for order in orders if (found := _split_order(order, visits.get(order.order_id, ())))]
    steps: list[HopRow] = []
    for (service, message), legs in zip(_STOPS, zip(*whole, strict=True), strict=False):
        for part, values, loop in _split_legs(legs, is_last=service == BUYER):
            steps.append(
                HopRow(
                    number=len(steps) + 1,
                    service=service,
                    message=message,
                    part=part,
                    n=len(whole),
                    mean_us=fmean(values) / 1000,
                    p50_us=median(values) / 1000,
                    **loop,
                )
            )
    return steps


_STOPS = (*zip(_SERVICES, _KINDS, strict=True), (BUYER, "order-closed"))


def _split_legs(
    legs: Sequence[_Leg], *, is_last: bool
) -> Iterator[tuple[str, Sequence[float], Mapping[str, float | None]]]:
    """Yields the parts of all orders' legs to one stop, and what is known of the loop there.

    An order of which no sample says how long it waited for the loop counts as the mean of the others.
    """
    known = [_cap_lag(leg, leg.lag_ns) for leg in legs if leg.lag_ns != UNKNOWN_NS]
    usual_ns = fmean(known) if known else 0.0
    for_loop = [_cap_lag(leg, usual_ns if leg.lag_ns == UNKNOWN_NS else leg.lag_ns) for leg in legs]
    yield "transfer", [leg.transfer_ns - lag_ns for leg, lag_ns in zip(legs, for_loop, strict=True)], {}
    if known or not is_last:
        loop = {"loop_us": fmean(for_loop) / 1000, "loop_error_us": _compute_error_us(known)} if known else {}
        yield "wait", [leg.wait_ns + lag_ns for leg, lag_ns in zip(legs, for_loop, strict=True)], loop
    if not is_last:
        yield "handle", [leg.handle_ns for leg in legs], {}
        yield "store", [leg.store_ns for leg in legs], {}


def _cap_lag(leg: _Leg, lag_ns: float) -> float:
    """A message waits for the loop no longer than it is on its way."""
    return max(0, min(lag_ns, leg.transfer_ns))


def _compute_error_us(known: Sequence[float]) -> float | None:
    """Returns how far the 95 % interval of a mean reaches either way, by Student's t; None for a single one."""
    n = len(known)
    return None if n < 2 else t_quantile(0.975, n - 1) * stdev(known) / math.sqrt(n) / 1000


def _split_order(order: SampledOrder, visits: Sequence[Stamp]) -> list[_Leg]:
    """Returns the order's legs; none of an order that took another way or came by twice somewhere."""
    ordered = sorted(visits, key=lambda stamp: stamp.begun_ns)
    if tuple(stamp.kind for stamp in ordered) != _KINDS:
        return []
    found: list[_Leg] = []
    left_ns = order.sent_ns
    for stamp in ordered:
        found.append(
            _Leg(
                transfer_ns=stamp.arrived_ns - left_ns,
                lag_ns=stamp.lag_ns,
                wait_ns=stamp.begun_ns - stamp.arrived_ns,
                handle_ns=stamp.ended_ns - stamp.begun_ns - stamp.commit_ns,
                store_ns=stamp.commit_ns,
            )
        )
        left_ns = stamp.ended_ns
    return [*found, _Leg(transfer_ns=order.finished_ns - left_ns, lag_ns=order.lag_ns)]


def find_clock_mismatch(bounds: Mapping[str, tuple[int, int, int]]) -> str:
    """Returns a sentence why the processes' clocks cannot be compared; empty when they can.

    ``bounds`` are by process: our clock before asking, theirs, ours after. Theirs has to lie between.
    """
    for process, (before_ns, theirs_ns, after_ns) in bounds.items():
        if not before_ns <= theirs_ns <= after_ns:
            off_us = max(before_ns - theirs_ns, theirs_ns - after_ns) / 1000
            return f"the clock of the {process} process differs from ours by {off_us:,.0f} us or more"
    return ""
