"""Records what a trial's driver counts: orders, failures, latencies and sums for the audit."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from shop.service import Tally
from transports.loop_lag import UNKNOWN_NS

MAX_LATENCY_US = 3_600_000_000
"""An hour; what takes longer is recorded as an hour."""
SIGNIFICANT_DIGITS = 3
_SUB_BUCKET_BITS = 11
"""What three significant digits need: values below 2 ** 11 are kept exactly."""


class PackedHistogram(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram as it is sent: microseconds, HdrHistogram V2 in base64; ``censored`` samples are infinite."""

    hdr: str
    count: int
    censored: int


class Histogram:
    """Microseconds to three significant digits, in HdrHistogram's buckets.

    A dictionary of HdrHistogram's lowest equivalent values: recording costs a fifth of what it does in the Python
    HdrHistogram, and the outcome is the same. Its size does not grow with the number of samples.
    """

    __slots__ = ("_fresh", "_kept", "censored")

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}
        self._fresh: dict[int, int] = {}
        self.censored = 0
        """Orders without such a latency: they failed, never finished or were not sent, and count as infinite."""

    def record(self, value_us: int, count: int = 1) -> None:
        """Values outside 0 to an hour are recorded as the nearest inside."""
        value_us = max(0, min(value_us, MAX_LATENCY_US))
        shift = value_us.bit_length() - _SUB_BUCKET_BITS
        if shift > 0:
            value_us = value_us >> shift << shift
        fresh = self._fresh
        fresh[value_us] = fresh.get(value_us, 0) + count

    def take_new_counts(self) -> dict[int, int]:
        """Returns the counts by value of the samples recorded since the last call."""
        fresh, self._fresh = self._fresh, {}
        for value_us, count in fresh.items():
            self._kept[value_us] = self._kept.get(value_us, 0) + count
        return fresh

    def counts(self) -> Mapping[int, int]:
        """Counts by value, all of them; a value is the lowest of its bucket."""
        return Counter(self._kept) + Counter(self._fresh)

    @property
    def count(self) -> int:
        """Samples, censored ones left out."""
        return sum(self._kept.values()) + sum(self._fresh.values())

    def include(self, other: "Histogram") -> None:
        """Adds the samples of another histogram, censored ones too."""
        for value_us, count in other.counts().items():
            self.record(value_us, count)
        self.censored += other.censored

    def percentile_us(self, percent: float) -> float | None:
        """The highest value of the bucket below or in which ``percent`` of all samples lie, censored ones included.

        Infinite where it falls among the censored ones, None without any sample.
        """
        counts = self.counts()
        total = sum(counts.values()) + self.censored
        if not total:
            return None
        # The nearest rank: the smallest k with k / total >= percent / 100 (Hyndman and Fan 1996, definition 1).
        rank = max(1, math.ceil(round(total * percent / 100, 9)))
        for value_us in sorted(counts):
            rank -= counts[value_us]
            if rank <= 0:
                return float(_highest_equivalent_us(value_us))
        return math.inf

    def pack(self) -> PackedHistogram:
        """Encodes the histogram for sending."""
        hdr = HdrHistogram(1, MAX_LATENCY_US, SIGNIFICANT_DIGITS)
        counts = self.counts()
        for value_us, count in counts.items():
            hdr.record_value(value_us, count)
        return PackedHistogram(hdr=hdr.encode().decode(), count=sum(counts.values()), censored=self.censored)

    @classmethod
    def unpack(cls, packed: Iterable[PackedHistogram]) -> "Histogram":
        """Decodes histograms and merges them into one."""
        histogram = cls()
        for latencies in packed:
            histogram.censored += latencies.censored
            hdr = HdrHistogram.decode(latencies.hdr)
            # Its own iterator takes 20 ms for what this does in one.
            for index, count in enumerate(hdr.counts):
                if count:
                    histogram.record(hdr.get_value_from_index(index), count)
        return histogram


def _highest_equivalent_us(value_us: int) -> int:
    return value_us + (1 << max(0, value_us.bit_length() - _SUB_BUCKET_BITS)) - 1


class PackedTally(msgspec.Struct, kw_only=True):
    """A ``shop.service.Tally`` as it is sent."""

    count: int = 0
    amount_cents: int = 0
    order_ids: int = 0
    contents: int = 0

    @classmethod
    def of(cls, tally: Tally) -> "PackedTally":
        return cls(
            count=tally.count, amount_cents=tally.amount_cents, order_ids=tally.order_ids, contents=tally.contents
        )

    def unpack(self) -> Tally:
        """Decodes the tally."""
        return Tally(count=self.count, amount_cents=self.amount_cents, order_ids=self.order_ids, contents=self.contents)

    def __add__(self, other: "PackedTally") -> "PackedTally":
        return PackedTally(
            count=self.count + other.count,
            amount_cents=self.amount_cents + other.amount_cents,
            order_ids=(self.order_ids + other.order_ids) % 2**64,
            contents=(self.contents + other.contents) % 2**64,
        )


class SampledOrder(msgspec.Struct, frozen=True, array_like=True):
    """A finished order whose services stamped it, with the driver's four instants; ``time.monotonic_ns()``."""

    order_id: str
    planned_ns: int
    sent_ns: int
    accepted_ns: int
    finished_ns: int
    lag_ns: int = UNKNOWN_NS
    """How long the outcome had waited for the event loop before it was finished, by samples."""


class PackedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A ``DriverRecord`` of one window as it is sent: what adds up over windows that follow one another."""

    all: dict[str, int]
    window: dict[str, int]
    failures: dict[str, int]
    shipped: PackedTally
    rejected: PackedTally
    counts: dict[str, dict[int, int]]
    """Of each histogram, by microseconds."""
    censored: dict[str, int]
    sums: dict[str, int]
    sampled: list[SampledOrder]
    in_flight_max: int
    in_flight_parts: list[float]
    finished_by_part: list[int]
    response_logs_by_part: list[float]
    extra: dict[str, Any] = {}
    """Further measures by name; how they merge says the table of measures (bench/load/sets/merging.py)."""


class OrderCounts:
    """Orders counted by outcome. ``planned = sent + not_sent``, ``sent = finished + failed + unfinished``."""

    __slots__ = ("accepted", "accepted_unfinished", "failed", "finished", "not_sent", "planned", "sent", "unfinished")

    def __init__(self) -> None:
        self.planned = self.not_sent = self.sent = self.accepted = 0
        self.finished = self.failed = self.unfinished = self.accepted_unfinished = 0

    def check(self) -> None:
        """Raises Miscounted when they do not add up."""
        if self.planned != self.sent + self.not_sent or self.sent != self.finished + self.failed + self.unfinished:
            raise MiscountError(
                f"the driver's counts do not add up: planned {self.planned}, sent {self.sent}, not sent "
                f"{self.not_sent}, finished {self.finished}, failed {self.failed}, unfinished {self.unfinished}"
            )


class MiscountError(Exception):
    """Raised when the driver's counts do not add up, which is a defect; ``str(error)`` is a sentence."""


WINDOW_PARTS = 12
"""Equal parts of the window, over which the orders in flight and the responses are averaged."""
_HISTOGRAMS = ("accept", "accept_service", "finish", "finish_service", "gap_planned", "gap_sent", "lateness")
_ADDED = (
    "accept_ns",
    "driver_cpu_ns",
    "finished_within",
    "in_flight_lost_ns",
    "in_flight_ns",
    "rejected_in_window",
    "response_ns",
    "service_ns",
    "shipped_in_window",
    "sojourn_ns",
    "submit_ns",
    "unexpected",
    "window_ns",
)
"""Of a record, what adds up over windows that follow one another."""


class DriverRecord:
    """What a driver recorded in a trial. ``all`` counts every order, ``window`` those planned within the window."""

    __slots__ = (
        "accept",
        "accept_ns",
        "accept_service",
        "all",
        "driver_cpu_ns",
        "extra",
        "failures",
        "finish",
        "finish_service",
        "finished_by_part",
        "finished_within",
        "gap_planned",
        "gap_sent",
        "in_flight_lost_ns",
        "in_flight_max",
        "in_flight_ns",
        "in_flight_parts",
        "lateness",
        "rejected",
        "rejected_in_window",
        "response_logs_by_part",
        "response_ns",
        "sampled",
        "service_ns",
        "shipped",
        "shipped_in_window",
        "sojourn_ns",
        "steady",
        "submit_ns",
        "unexpected",
        "warm_up_ns",
        "window",
        "window_ns",
    )

    def __init__(self) -> None:
        self.all = OrderCounts()
        self.window = OrderCounts()
        self.failures: Counter[str] = Counter()
        """In the window, by the name of the error's class."""
        self.shipped = Tally()
        self.rejected = Tally()
        self.shipped_in_window = self.rejected_in_window = 0
        self.unexpected = 0
        """Outcomes that were not as planned, or held another order than was sent, of all orders."""
        self.accept = Histogram()
        self.accept_service = Histogram()
        self.finish = Histogram()
        self.finish_service = Histogram()
        self.lateness = Histogram()
        self.gap_planned = Histogram()
        self.gap_sent = Histogram()
        """From one order of the window to the next; what was not sent leaves one gap in both."""
        self.finished_within = 0
        """Orders of any phase that finished while the window was open: the throughput."""
        self.sampled: list[SampledOrder] = []
        """Orders of the window that the services stamp too."""
        self.in_flight_max = 0
        self.in_flight_ns = 0
        """The integral of orders in flight over the time in which the window is open."""
        self.sojourn_ns = 0
        """What that integral comes to by the instants of the orders that finished: from sent to finished, as far as the
        window was open."""
        self.in_flight_lost_ns = 0
        """The same of orders that failed or never finished, up to when they were given up."""
        self.in_flight_parts: list[float] = []
        """The integral's mean over each part of the window, as far as it came, without orders that did not finish."""
        self.response_ns = 0
        """From planned to finished, summed over the window's orders that finished."""
        self.service_ns = 0
        """The same from sent, when an order begins to be in flight."""
        self.submit_ns = 0
        """From sent to the return of ``submit``, summed over the same orders, by the driver's own clock."""
        self.accept_ns = 0
        """From sent to acceptance, summed over the same orders, by the transport's word."""
        self.finished_by_part = [0] * WINDOW_PARTS
        """The same orders, counted by the part of the window for which they were planned."""
        self.response_logs_by_part = [0.0] * WINDOW_PARTS
        """Natural logarithms of their responses in nanoseconds, summed."""
        self.driver_cpu_ns = 0
        self.warm_up_ns = 0
        self.steady = True
        """Whether an adapting warm-up ended because nothing rose or fell any more, and not at its cap."""
        self.window_ns = 0
        self.extra: dict[str, Any] = {}
        """Further measures of bench/results/measures.py, by name."""

    def pack(self) -> "PackedRecord":
        """Encodes the record for sending; it is closed."""
        return PackedRecord(
            all={name: getattr(self.all, name) for name in OrderCounts.__slots__},
            window={name: getattr(self.window, name) for name in OrderCounts.__slots__},
            failures=dict(self.failures),
            shipped=PackedTally.of(self.shipped),
            rejected=PackedTally.of(self.rejected),
            counts={name: dict(getattr(self, name).counts()) for name in _HISTOGRAMS},
            censored={name: getattr(self, name).censored for name in _HISTOGRAMS},
            sums={name: getattr(self, name) for name in _ADDED},
            sampled=self.sampled,
            in_flight_max=self.in_flight_max,
            in_flight_parts=self.in_flight_parts,
            finished_by_part=self.finished_by_part,
            response_logs_by_part=self.response_logs_by_part,
            extra=dict(self.extra),
        )

    @classmethod
    def unpack(cls, packed: "PackedRecord") -> "DriverRecord":
        """Decodes a record, as far as records of windows that follow one another add up."""
        record = cls()
        for counts, values in ((record.all, packed.all), (record.window, packed.window)):
            for name, value in values.items():
                setattr(counts, name, value)
        record.failures = Counter(packed.failures)
        record.shipped, record.rejected = packed.shipped.unpack(), packed.rejected.unpack()
        for name in _HISTOGRAMS:
            histogram: Histogram = getattr(record, name)
            for value_us, count in packed.counts[name].items():
                histogram.record(value_us, count)
            histogram.censored = packed.censored[name]
        for name, value in packed.sums.items():
            setattr(record, name, value)
        record.sampled, record.in_flight_max = packed.sampled, packed.in_flight_max
        record.in_flight_parts = packed.in_flight_parts
        record.finished_by_part = packed.finished_by_part
        record.response_logs_by_part = packed.response_logs_by_part
        return record

    def add(self, other: "DriverRecord") -> None:
        """Adds what another record counted in windows of its own, one after the other. Both are closed.

        ``in_flight_parts`` adds up part by part, and ``warm_up_ns`` stays what it is.
        """
        for mine, theirs in ((self.all, other.all), (self.window, other.window)):
            for name in OrderCounts.__slots__:
                setattr(mine, name, getattr(mine, name) + getattr(theirs, name))
        self.failures.update(other.failures)
        for sums, more in ((self.shipped, other.shipped), (self.rejected, other.rejected)):
            sums.include(more)
        for name in _HISTOGRAMS:
            getattr(self, name).include(getattr(other, name))
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.sampled += other.sampled
        self.in_flight_max = max(self.in_flight_max, other.in_flight_max)
        pairs = zip_longest(self.in_flight_parts, other.in_flight_parts, fillvalue=0.0)
        self.in_flight_parts = [mine + theirs for mine, theirs in pairs]
        for name in ("finished_by_part", "response_logs_by_part"):
            setattr(self, name, [a + b for a, b in zip(getattr(self, name), getattr(other, name), strict=True)])

    def close(self) -> None:
        """Counts orders without a latency as infinite. Raises MiscountError when the counts do not add up."""
        self.all.check()
        self.window.check()
        window = self.window
        self.lateness.censored = window.not_sent
        self.accept.censored = window.planned - window.accepted
        self.accept_service.censored = window.sent - window.accepted
        self.finish.censored = window.planned - window.finished
        self.finish_service.censored = window.sent - window.finished
