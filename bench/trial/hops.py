"""Splits the time of sampled orders into transfer, wait, handle and store steps.

    sent -transfer-> arrived -wait-> begun -handle, store-> ended -transfer-> arrived at the next … -> finished

Only orders that shipped are taken, so that all of them went the same way; the means of all steps add up to the mean
time from sent to finished. In a chain the last transfer but one is three answers long: from shipping back to user.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median

from bench.load.recorder import SampledOrder
from bench.results.rows import HopRow
from shop.messages import KIND_BY_TYPE, OrderPlaced, OrderShipped, PaymentTaken, PlaceOrder, StockReserved
from shop.workflow import find_consumer_of_type
from transports.tracing import Stamp

SHIPPED_PATH = (PlaceOrder, OrderPlaced, StockReserved, PaymentTaken, OrderShipped)
"""The types of message of an order that ships, visit by visit."""
_KINDS = tuple(KIND_BY_TYPE[message] for message in SHIPPED_PATH)
_SERVICES = tuple(find_consumer_of_type(message) for message in SHIPPED_PATH)
BUYER = "buyer"


def build_path_steps(orders: Iterable[SampledOrder], stamps: Iterable[Stamp]) -> list[HopRow]:
    """Returns all steps in order; empty when no sampled order can be followed from end to end."""
    visits: dict[str, list[Stamp]] = defaultdict(list)
    for stamp in stamps:
        visits[stamp.order_id].append(stamp)
    whole = [parts for order in orders if (parts := _split_order(order, visits.get(order.order_id, ())))]
    found = []
    for number, (named, values) in enumerate(zip(_PART_NAMES, zip(*whole, strict=True), strict=False), 1):
        service, message, part = named
        found.append(
            HopRow(
                number=number,
                service=service,
                message=message,
                part=part,
                n=len(whole),
                mean_us=fmean(values) / 1000,
                p50_us=median(values) / 1000,
            )
        )
    return found


def _list_part_names() -> Iterator[tuple[str, str, str]]:
    for service, kind in zip(_SERVICES, _KINDS, strict=True):
        for part in ("transfer", "wait", "handle", "store"):
            yield service, kind, part
    yield BUYER, "order-closed", "transfer"


_PART_NAMES = tuple(_list_part_names())


def _split_order(order: SampledOrder, visits: Sequence[Stamp]) -> list[int]:
    """Nanoseconds, part by part; empty for an order that took another way or came by twice somewhere."""
    ordered = sorted(visits, key=lambda stamp: stamp.begun_ns)
    if tuple(stamp.kind for stamp in ordered) != _KINDS:
        return []
    found: list[int] = []
    left_ns = order.sent_ns
    for stamp in ordered:
        handled_ns = stamp.ended_ns - stamp.begun_ns
        found += (stamp.arrived_ns - left_ns, stamp.begun_ns - stamp.arrived_ns)
        found += (handled_ns - stamp.commit_ns, stamp.commit_ns)
        left_ns = stamp.ended_ns
    return [*found, order.finished_ns - left_ns]


def find_clock_mismatch(bounds: Mapping[str, tuple[int, int, int]]) -> str:
    """Returns a sentence why the processes' clocks cannot be compared; empty when they can.

    ``bounds`` are by process: our clock before asking, theirs, ours after. Theirs has to lie between.
    """
    for process, (before_ns, theirs_ns, after_ns) in bounds.items():
        if not before_ns <= theirs_ns <= after_ns:
            off_us = max(before_ns - theirs_ns, theirs_ns - after_ns) / 1000
            return f"the clock of the {process} process differs from ours by {off_us:,.0f} us or more"
    return ""
