"""Batches finished orders and updates counters and histograms.

Counting many orders in one loop takes a fraction of what it takes between sending orders, when the data has left the
processor's caches.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.load.order_log import WriteOrder
from bench.load.recorder import WINDOW_PARTS, DriverRecord, SampledOrder
from bench.load.workload.orders import OrderSource
from transports.tracing import MAX_STAMPS, Tracer

BATCH_ORDERS = 32
"""Orders are booked together: few enough to take a tenth of a millisecond."""
MAX_FAILURE_CLASSES = 50
"""Error classes told apart; any further ones are counted together."""


NEVER_NS = 2**62


@dataclass(slots=True)
class Window:
    """The measurement window: orders planned between its two instants count. By the driver's clock."""

    opens_ns: int = NEVER_NS
    closes_ns: int | None = None
    """None: not known yet."""

    def contains(self, at_ns: int) -> bool:
        """Whether the instant lies in the window."""
        return at_ns >= self.opens_ns and (self.closes_ns is None or at_ns < self.closes_ns)

    def find_part(self, at_ns: int) -> int:
        """Returns in which of its ``WINDOW_PARTS`` equal parts an instant of the window lies; 0 where its end is
        unknown.
        """
        if self.closes_ns is None or self.closes_ns <= self.opens_ns:
            return 0
        part = (at_ns - self.opens_ns) * WINDOW_PARTS // (self.closes_ns - self.opens_ns)
        return min(WINDOW_PARTS - 1, part)

    def overlap_ns(self, from_ns: int, until_ns: int) -> int:
        """Returns how many nanoseconds of the interval lie in the window."""
        closes_ns = until_ns if self.closes_ns is None else min(until_ns, self.closes_ns)
        return max(0, closes_ns - max(from_ns, self.opens_ns))


class FinishedOrder(NamedTuple):
    """An order that finished, with its outcome and its four instants."""

    number: int
    order_id: str
    status: str
    whole: bool
    """Whether the order in the outcome is the one that was sent, in every field."""
    content: int
    """The fingerprint of the order that was sent."""
    total_cents: int
    in_window: bool
    planned_ns: int
    sent_ns: int
    accepted_ns: int
    finished_ns: int
    taken_ns: int
    """When the driver's own call of ``submit`` returned."""


class OrderAccounting:
    """Counts the orders of one driver in its record.

    Orders wait in a batch until the batch is full, somebody reads the record, or the window opens or closes.
    """

    def __init__(
        self,
        record: DriverRecord,
        workload: OrderSource,
        trace: Tracer,
        raw: WriteOrder | None,
        window: Window,
        failing: Callable[[Exception], None],
    ) -> None:
        """``raw`` takes every order of the window; ``failing`` hears of a defect."""
        self._record = record
        self._workload = workload
        self._trace = trace
        self._write_order = raw
        self._window = window
        self._on_defect = failing
        self.sends: list[tuple[int, int]] = []
        """Planned and sent, of orders of the window that are not booked yet."""
        self.ends: list[FinishedOrder] = []
        """Orders that finished and are not booked yet."""
        self._last_planned_ns = self._last_sent_ns = 0

    def flush(self) -> None:
        """Counts what was sent and what finished since the last call, each in its own order."""
        if not self.sends and not self.ends:
            return
        sends, ends = self.sends, self.ends
        self.sends, self.ends = [], []
        self._record_gaps(sends)
        for end in ends:
            try:
                self._finish(end)
                if end.in_window:
                    self._record_times(end)
                    self.close(end.number, "finished", end.planned_ns, end.sent_ns, end.accepted_ns, end.finished_ns)
            except Exception as error:  # noqa: BLE001 - a client's outcome that cannot be counted
                self._on_defect(error)

    def _record_gaps(self, sends: list[tuple[int, int]]) -> None:
        last_planned_ns, last_sent_ns = self._last_planned_ns, self._last_sent_ns
        between_planned, between_sent = self._record.gap_planned.record, self._record.gap_sent.record
        for planned_ns, sent_ns in sends:
            if last_sent_ns:
                between_planned((planned_ns - last_planned_ns) // 1000)
                between_sent((sent_ns - last_sent_ns) // 1000)
            last_planned_ns, last_sent_ns = planned_ns, sent_ns
        self._last_planned_ns, self._last_sent_ns = last_planned_ns, last_sent_ns

    def _finish(self, end: FinishedOrder) -> None:
        record = self._record
        shipped = end.status == "shipped"
        record.all.finished += 1
        if shipped:
            record.shipped.add(end.order_id, end.total_cents, content=end.content)
        else:
            record.rejected.add(end.order_id, 0, content=end.content)
        if end.status != self._workload.expected(end.number) or not end.whole:
            record.unexpected += 1
        record.sojourn_ns += self._window.overlap_ns(end.sent_ns, end.finished_ns)
        if self._window.contains(end.finished_ns):
            record.finished_within += 1
        if end.in_window:
            record.window.finished += 1
            if shipped:
                record.shipped_in_window += 1
            else:
                record.rejected_in_window += 1

    def _record_times(self, end: FinishedOrder) -> None:
        record, planned_ns, sent_ns, finished_ns = self._record, end.planned_ns, end.sent_ns, end.finished_ns
        record.response_ns += finished_ns - planned_ns
        record.service_ns += finished_ns - sent_ns
        record.submit_ns += end.taken_ns - sent_ns
        record.accept_ns += end.accepted_ns - sent_ns
        part = self._window.find_part(planned_ns)
        record.finished_by_part[part] += 1
        record.response_logs_by_part[part] += math.log(max(1, finished_ns - planned_ns))
        record.finish.record((finished_ns - planned_ns) // 1000)
        record.finish_service.record((finished_ns - sent_ns) // 1000)
        if self._trace.is_sampled(end.order_id) and len(record.sampled) < MAX_STAMPS:
            lag_ns = self._trace.estimate_lag_ns(finished_ns)
            record.sampled.append(SampledOrder(end.order_id, planned_ns, sent_ns, end.accepted_ns, finished_ns, lag_ns))

    def close(
        self, number: int, status: str, planned_ns: int, sent_ns: int, accepted_ns: int, finished_ns: int
    ) -> None:
        """Records an order of the window that was sent and has ended, whatever its outcome."""
        record = self._record
        record.lateness.record((sent_ns - planned_ns) // 1000)
        if accepted_ns:
            record.window.accepted += 1
            record.accept.record((accepted_ns - planned_ns) // 1000)
            record.accept_service.record((accepted_ns - sent_ns) // 1000)
        self._keep(number, status, planned_ns, sent_ns, accepted_ns, finished_ns)

    def _keep(self, *order: Any) -> None:
        """A line of the raw file, if there is one; a full disk ends the trial."""
        if self._write_order is not None:
            try:
                self._write_order(*order)
            except OSError as error:
                self._on_defect(error)

    def count_not_sent(self, number: int, planned_ns: int) -> None:
        """Counts an order that is not sent."""
        self._record.all.not_sent += 1
        if planned_ns >= self._window.opens_ns:
            self._record.window.not_sent += 1
            self._keep(number, "not_sent", planned_ns, 0, 0, 0)

    def count_failure(self, name: str) -> None:
        """Counts a failed order of the window under the name of its error's class."""
        failures = self._record.failures
        if name not in failures and len(failures) >= MAX_FAILURE_CLASSES:
            name = "other"
        failures[name] += 1
