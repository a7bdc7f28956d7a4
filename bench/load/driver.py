"""Sending orders when they are due, and noting what becomes of each. Knows transports through ``base.Client`` alone.

    warm-up ------------> window ---------------------> drain ----->
    start               steady, or the cap            + duration_s   nothing in flight, or drain_s over

The window's plan starts when it opens, so it is the same however long the warm-up was. Nothing is drained in between.

Four instants per order, of one monotonic clock: planned, sent, accepted, finished. An order is a task of its own,
made when it is due; nothing gates it but the in-flight cap, above which it is not sent and says so.
"""

import asyncio
import gc
import math
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.load.arrivals import Schedule
from bench.load.pacer import Clock, Pacer, best_pacer
from bench.load.raw import Write
from bench.load.record import Record, Sampled
from bench.stats.trend import steady
from bench.workload import Workload
from shop.messages import PlaceOrder
from transports.base import Client
from transports.errors import TransportError
from transports.trace import MOST_STAMPS, Trace

_NS = 1_000_000_000
_NEVER_NS = 2**62
LEAD_NS = 5_000_000
"""From the call of ``run`` to the start, so that the first order is not late already."""
SWEEP_S = 1.0
"""How often orders over their deadline are looked for; also how much longer than the client's own deadline they get."""
SLICES = 12
"""Of the window, over which the orders in flight are averaged."""
TOGETHER = 32
"""Orders are booked together: few enough to take a tenth of a millisecond."""
DISTINCT_FAILURES = 50
"""Error classes told apart; any further ones are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """How long each phase takes. ``duration_s`` None: until stopped."""

    warm_up_s: float = 0.0
    """At least; 0: none."""
    warm_up_max_s: float = 0.0
    """At most; not more than ``warm_up_s``: it is as long as that, steady or not."""
    duration_s: float | None = None
    drain_s: float = 30.0
    deadline_s: float = 30.0
    """An order that is older ends as unfinished."""
    in_flight_cap: int = 10_000
    tick_s: float = 0.5
    """How often an adapting warm-up is looked at."""
    trace_every: int = 0
    """One in so many orders is kept with its four instants; 0: none."""

    @property
    def adapts(self) -> bool:
        """Whether the warm-up lasts until neither the orders in flight nor the median response rises or falls."""
        return 0 < self.warm_up_s < self.warm_up_max_s


class _End(NamedTuple):
    """An order that finished."""

    number: int
    order_id: str
    status: str
    own: bool
    """Whether the outcome is this order's."""
    total_cents: int
    in_window: bool
    planned_ns: int
    sent_ns: int
    accepted_ns: int
    finished_ns: int


class OtherClock(Exception):
    """A transport's instants cannot be; ``str(error)`` says which."""


class Driver(ABC):
    """One trial of one load process. ``record`` may be read at any time and is complete when ``run`` returns.

    What an order brings is booked with that of others: in a loop it takes a fraction of what it does between two
    orders, when all of it has left the processor's caches.
    """

    def __init__(
        self,
        client: Client,
        workload: Workload,
        phases: Phases,
        *,
        clock: Clock = time.monotonic_ns,
        pacer: Callable[[Callable[[], None]], Pacer] = best_pacer,
        at_edge: Callable[[], None] = lambda: None,
        raw: Write | None = None,
    ) -> None:
        """``at_edge`` is called when the window opens and when it closes; it must not wait for anything.

        ``raw`` takes every order of the window as it ends.
        """
        self._record = Record()
        self._sends: list[tuple[int, int]] = []
        """Planned and sent, of orders of the window that are not booked yet."""
        self._ends: list[_End] = []
        """Orders that finished and are not booked yet."""
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._at_edge = at_edge
        self._raw = raw
        self._submit = client.submit
        self._workload = workload
        self._phases = phases
        self._clock = clock
        self._make_pacer = pacer
        self._trace = Trace(phases.trace_every)
        self._number, self._step = 0, 1
        self._ready: PlaceOrder | None = workload.order(0)
        self._in_flight: dict[int, tuple[int, asyncio.Task[None]]] = {}
        """By number, in the order of sending: when, and the task."""
        self._crash: BaseException | None = None
        self._settled_ns = 0
        self._opens_ns = _NEVER_NS
        self._closes_ns: int | None = None
        self._opening: asyncio.TimerHandle | None = None
        self._slicing: asyncio.Task[None] | None = None
        self._lost_ns = [0] * SLICES
        """By part of the window, how long orders were in flight that did not finish."""
        self._fresh_us: list[int] = []
        """Responses of the warm-up since it was last looked at."""
        self._last_planned_ns = self._last_sent_ns = 0

    async def run(self) -> None:
        """Returns when the last order has ended or ``drain_s`` is over. Raises what a defect raised, or Miscounted."""
        phases = self._phases
        endless = phases.duration_s is None
        with _quiet_gc(disable=not endless):
            self._start_ns = self._clock() + LEAD_NS
            if not phases.adapts:
                self._open_at(self._start_ns + int(phases.warm_up_s * _NS))
            self._cpu_ns = time.process_time_ns()
            self._settled_ns = self._start_ns
            sweep = asyncio.create_task(self._sweep())
            try:
                await self._send()
                self._shut()
                await self._drain()
            finally:
                if self._opening is not None:
                    self._opening.cancel()
                sweep.cancel()
                if self._slicing is not None:
                    self._slicing.cancel()
                for _, task in self._in_flight.values():
                    task.cancel()
                await asyncio.gather(sweep, *self._tasks(), return_exceptions=True)
                self._count_unstarted()
        if self._crash is not None:
            raise self._crash
        if width_ns := self._record.window_ns // SLICES:
            slices = zip(self._record.in_flight_slices, self._lost_ns, strict=False)
            self._record.in_flight_slices = [mean - lost_ns / width_ns for mean, lost_ns in slices]
        self._book()
        if self._crash is not None:  # of raw
            raise self._crash
        self._record.close()

    @property
    def record(self) -> Record:
        """What is counted so far."""
        self._book()
        return self._record

    def stop(self) -> None:
        """Send no more; ``run`` goes on to the drain. Idempotent."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    @abstractmethod
    def change(self, load: float) -> None:
        """Another load from now on: orders a second in open mode, looping clients in closed mode."""

    @abstractmethod
    async def _send(self) -> None:
        """Until the window closes, or ``stop``."""

    @property
    def plan_hash(self) -> str:
        """Of what was planned beforehand; empty when nothing was, or the load was changed."""
        return ""

    @property
    def opened_ns(self) -> int:
        """When the window opened, once it has."""
        return self._opens_ns

    # The window. Only the driver's own CPU time needs an action at its edges: orders know their phase when planned.

    def _open_at(self, opens_ns: int) -> None:
        duration_s = self._phases.duration_s
        self._opens_ns = opens_ns
        self._closes_ns = None if duration_s is None else opens_ns + int(duration_s * _NS)
        self._record.warm_up_ns = opens_ns - self._start_ns
        self._opening = self._loop.call_later((opens_ns - self._clock()) / _NS, self._open)

    def _open(self) -> None:
        if self._stopped.done():
            return
        self._book()
        self._settle()
        self._record.in_flight_ns = 0
        self._cpu_ns = time.process_time_ns()
        self._at_edge()
        if self._closes_ns is not None:
            self._slicing = asyncio.create_task(self._slice(self._closes_ns))

    async def _slice(self, closes_ns: int) -> None:
        """Keep the mean of the orders in flight over each part of the window: where a growing backlog shows."""
        record, width_ns = self._record, (closes_ns - self._opens_ns) // SLICES
        then_ns = self._settled_ns
        for number in range(1, SLICES + 1):
            before_ns = record.in_flight_ns
            await asyncio.sleep((self._opens_ns + number * width_ns - self._clock()) / _NS)
            now_ns = self._settle()
            record.in_flight_slices.append((record.in_flight_ns - before_ns) / (now_ns - then_ns))
            then_ns = now_ns

    def _shut(self) -> None:
        self._book()
        now_ns = self._settle()
        self._closes_ns = now_ns if self._closes_ns is None else min(self._closes_ns, now_ns)
        self._record.window_ns = max(0, self._closes_ns - self._opens_ns)
        if self._record.window_ns:
            self._record.driver_cpu_ns = time.process_time_ns() - self._cpu_ns
            self._at_edge()

    def _settle(self) -> int:
        """Before each change of the orders in flight: add them up over the time since the last one. It is now.

        Once ``_shut`` has set the window's length, nothing is added any more.
        """
        now_ns = self._clock()
        if not self._record.window_ns:
            self._record.in_flight_ns += len(self._in_flight) * (now_ns - self._settled_ns)
            self._settled_ns = now_ns
        return now_ns

    def _within(self, from_ns: int, until_ns: int) -> int:
        """How much of a stretch of time lies in the window."""
        closes_ns = until_ns if self._closes_ns is None else min(until_ns, self._closes_ns)
        return max(0, closes_ns - max(from_ns, self._opens_ns))

    def _lose(self, sent_ns: int) -> None:
        """An order in flight since then is given up: it does not tell whether the method keeps up with the others."""
        now_ns = self._clock()
        self._record.in_flight_lost_ns += self._within(sent_ns, now_ns)
        if self._closes_ns is None:
            return
        width_ns = (self._closes_ns - self._opens_ns) // SLICES
        for number in range(SLICES):
            begins_ns = self._opens_ns + number * width_ns
            self._lost_ns[number] += max(0, min(now_ns, begins_ns + width_ns) - max(sent_ns, begins_ns))

    # One order.

    def _launch(self, planned_ns: int) -> asyncio.Task[None] | None:
        """The next order on its way. None when too many are: it is left out, so that order k stays the plan's k."""
        record = self._record
        in_window = planned_ns >= self._opens_ns
        record.all.planned += 1
        if in_window:
            record.window.planned += 1
        in_flight = self._in_flight
        number = self._number
        self._number = number + self._step
        order, self._ready = self._ready, None
        if len(in_flight) >= self._phases.in_flight_cap:
            self._leave_out(number, planned_ns)
            return None
        if order is None:
            order = self._workload.order(number)
        self._settle()
        task = self._loop.create_task(self._carry(number, order, planned_ns, in_window))
        in_flight[number] = (planned_ns, task)
        record.in_flight_max = max(record.in_flight_max, len(in_flight))
        return task

    def _prepare(self) -> None:
        """Build the next order once the last ones are on their way."""
        if self._ready is None:
            self._ready = self._workload.order(self._number)

    async def _carry(self, number: int, order: PlaceOrder, planned_ns: int, in_window: bool) -> None:
        record = self._record
        every, window = record.all, record.window
        accepted_ns = finished_ns = 0
        every.sent += 1
        if in_window:
            window.sent += 1
        sent_ns = self._clock()
        if in_window:
            self._sends.append((planned_ns, sent_ns))
        try:
            receipt = await self._submit(order)
            accepted_ns = self._possible(sent_ns, receipt.accepted_ns)
            finished = await receipt.finished
            finished_ns = self._possible(sent_ns, finished.at_ns)
            order_id, outcome = order.order.order_id, finished.outcome
            # Without the order and its outcome, which may be large.
            end = _End(
                number,
                order_id,
                outcome.status,
                outcome.order.order_id == order_id,
                outcome.total_cents,
                in_window,
                planned_ns,
                sent_ns,
                accepted_ns,
                finished_ns,
            )
        except asyncio.CancelledError:
            status = "unfinished"
            every.unfinished += 1
            if in_window:
                window.unfinished += 1
                window.accepted_unfinished += accepted_ns > 0
            self._lose(sent_ns)
        except Exception as error:  # noqa: BLE001 - every error is counted
            status = "failed"
            every.failed += 1
            if in_window:
                window.failed += 1
                self._note_failure(type(error).__name__)
            self._lose(sent_ns)
            if not isinstance(error, TransportError):
                self._end_with(error)
        else:
            status = "finished"
            self._ends.append(end)
            if not in_window:
                self._fresh_us.append((finished_ns - planned_ns) // 1000)
        if in_window and status != "finished":
            self._close(number, status, planned_ns, sent_ns, accepted_ns, 0)
        self._settle()
        del self._in_flight[number]
        if len(self._ends) >= TOGETHER:
            self._book()

    def _possible(self, sent_ns: int, at_ns: int) -> int:
        """An instant that a transport gave. Raises OtherClock."""
        now_ns = self._clock()
        if not sent_ns <= at_ns <= now_ns:
            raise OtherClock(
                f"an order sent at {sent_ns} ns was accepted or finished at {at_ns}, and now it is {now_ns}: the "
                "transport's instants are not time.monotonic_ns()"
            )
        return at_ns

    def _end_with(self, error: Exception) -> None:
        """A defect ends the trial, not only the order that met it."""
        self._crash = self._crash or error
        self.stop()

    def _book(self) -> None:
        """Count what has been sent and what has finished since the last time, in the order of either."""
        if not self._sends and not self._ends:
            return
        sends, ends = self._sends, self._ends
        self._sends, self._ends = [], []
        self._book_gaps(sends)
        for end in ends:
            try:
                self._finish(end)
                if end.in_window:
                    self._time(end)
                    self._close(end.number, "finished", end.planned_ns, end.sent_ns, end.accepted_ns, end.finished_ns)
            except Exception as error:  # noqa: BLE001 - a client's outcome that cannot be counted
                self._end_with(error)

    def _book_gaps(self, sends: list[tuple[int, int]]) -> None:
        last_planned_ns, last_sent_ns = self._last_planned_ns, self._last_sent_ns
        between_planned, between_sent = self._record.gap_planned.record, self._record.gap_sent.record
        for planned_ns, sent_ns in sends:
            if last_sent_ns:
                between_planned((planned_ns - last_planned_ns) // 1000)
                between_sent((sent_ns - last_sent_ns) // 1000)
            last_planned_ns, last_sent_ns = planned_ns, sent_ns
        self._last_planned_ns, self._last_sent_ns = last_planned_ns, last_sent_ns

    def _finish(self, end: "_End") -> None:
        record = self._record
        shipped = end.status == "shipped"
        record.all.finished += 1
        if shipped:
            record.shipped.add(end.order_id, end.total_cents)
        else:
            record.rejected.add(end.order_id, 0)
        if end.status != self._workload.expected(end.number) or not end.own:
            record.unexpected += 1
        record.sojourn_ns += self._within(end.sent_ns, end.finished_ns)
        if end.finished_ns >= self._opens_ns and (self._closes_ns is None or end.finished_ns < self._closes_ns):
            record.finished_within += 1
        if end.in_window:
            record.window.finished += 1
            if shipped:
                record.shipped_in_window += 1
            else:
                record.rejected_in_window += 1

    def _time(self, end: "_End") -> None:
        record, planned_ns, sent_ns, finished_ns = self._record, end.planned_ns, end.sent_ns, end.finished_ns
        record.response_ns += finished_ns - planned_ns
        record.service_ns += finished_ns - sent_ns
        record.finish.record((finished_ns - planned_ns) // 1000)
        record.finish_service.record((finished_ns - sent_ns) // 1000)
        if self._trace.wants(end.order_id) and len(record.sampled) < MOST_STAMPS:
            record.sampled.append(Sampled(end.order_id, planned_ns, sent_ns, end.accepted_ns, finished_ns))

    def _close(
        self, number: int, status: str, planned_ns: int, sent_ns: int, accepted_ns: int, finished_ns: int
    ) -> None:
        """An order of the window that was sent has ended, however it did."""
        record = self._record
        record.lateness.record((sent_ns - planned_ns) // 1000)
        if accepted_ns:
            record.window.accepted += 1
            record.accept.record((accepted_ns - planned_ns) // 1000)
            record.accept_service.record((accepted_ns - sent_ns) // 1000)
        self._keep(number, status, planned_ns, sent_ns, accepted_ns, finished_ns)

    def _keep(self, *order: Any) -> None:
        """A line of the raw file, if there is one; a full disk ends the trial."""
        if self._raw is not None:
            try:
                self._raw(*order)
            except OSError as error:
                self._end_with(error)

    def _leave_out(self, number: int, planned_ns: int) -> None:
        self._record.all.not_sent += 1
        if planned_ns >= self._opens_ns:
            self._record.window.not_sent += 1
            self._keep(number, "not_sent", planned_ns, 0, 0, 0)

    def _note_failure(self, name: str) -> None:
        failures = self._record.failures
        if name not in failures and len(failures) >= DISTINCT_FAILURES:
            name = "other"
        failures[name] += 1

    # Orders that do not end by themselves.

    async def _sweep(self) -> None:
        """One look at all orders now and then, where a timer for each would cost as much as sending it."""
        limit_ns = int((self._phases.deadline_s + SWEEP_S) * _NS)
        while True:
            await asyncio.sleep(SWEEP_S)
            oldest_ns = self._clock() - limit_ns
            for planned_ns, task in self._in_flight.values():
                if planned_ns > oldest_ns:
                    break
                task.cancel()

    async def _drain(self) -> None:
        tasks = self._tasks()
        if tasks:
            await asyncio.wait(tasks, timeout=self._phases.drain_s)

    def _count_unstarted(self) -> None:
        """A task that is cancelled before its first step never runs: its order was not sent."""
        for number, (planned_ns, _) in self._in_flight.items():
            self._leave_out(number, planned_ns)
        self._in_flight.clear()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._in_flight.values()]


class OpenDriver(Driver):
    """Orders arrive by a schedule, whatever becomes of those before them.

    The warm-up has a schedule of its own, and its orders have negative numbers: order k is the plan's order k.
    """

    def __init__(
        self,
        client: Client,
        workload: Workload,
        phases: Phases,
        schedule: Schedule,
        *,
        clock: Clock = time.monotonic_ns,
        pacer: Callable[[Callable[[], None]], Pacer] = best_pacer,
        at_edge: Callable[[], None] = lambda: None,
        raw: Write | None = None,
        warm_up: Schedule | None = None,
    ) -> None:
        """``schedule`` is the window's, ``warm_up`` without an end; without it, nothing is sent in the warm-up."""
        super().__init__(client, workload, phases, clock=clock, pacer=pacer, at_edge=at_edge, raw=raw)
        self._schedule = schedule
        self._warm_up = warm_up if phases.warm_up_s else None
        """None once the window's orders are being sent."""
        self._changed = False
        if self._warm_up is not None:
            self._number, self._step = -1, -1
            self._ready = workload.order(-1)

    @property
    def plan_hash(self) -> str:
        return "" if self._changed or self._schedule.plan is None else self._schedule.plan.hash

    def change(self, load: float) -> None:
        """Orders that were due already are sent first. Raises ValueError when ``load`` is no rate."""
        self._send_due()
        now_ns = self._clock()
        if self._warm_up is not None:
            self._warm_up.change(load, now_ns - self._start_ns)
        self._schedule.change(load, max(0, now_ns - self._opens_ns))
        self._changed = True
        self._arm()

    async def _send(self) -> None:
        self._pacer = self._make_pacer(self._send_due)
        watching = asyncio.create_task(self._watch()) if self._phases.adapts else None
        try:
            self._arm()
            await self._stopped
        finally:
            self._pacer.close()
            if watching is not None:
                watching.cancel()

    async def _watch(self) -> None:
        """Look at the warm-up every now and then; open the window when it is steady, or at the cap."""
        phases, record = self._phases, self._record
        in_flight: list[float] = []
        p50_us: list[float] = []
        least_ns, most_ns = (self._start_ns + int(s * _NS) for s in (phases.warm_up_s, phases.warm_up_max_s))
        tick_ns = int(phases.tick_s * _NS)
        seen_ns = self._start_ns
        while True:
            await asyncio.sleep((min(seen_ns + tick_ns, most_ns) - self._clock()) / _NS)
            now_ns = self._settle()
            in_flight.append(record.in_flight_ns / (now_ns - seen_ns))
            record.in_flight_ns = 0
            p50_us.append(statistics.median(self._fresh_us) if self._fresh_us else math.inf)
            self._fresh_us.clear()
            seen_ns = now_ns
            record.steady = steady(in_flight, p50_us)
            if (record.steady and now_ns >= least_ns) or now_ns + tick_ns > most_ns:
                break
        self._open_at(now_ns + LEAD_NS)
        self._arm()

    def _send_due(self) -> None:
        """Everything that is due goes at once: nothing is skipped and nothing is throttled."""
        if self._stopped.done():
            return
        # The clock is read once, so that a schedule that is faster than this loop cannot keep others from running.
        now_ns = self._clock()
        if self._warm_up is not None:
            self._launch_due(self._warm_up, self._start_ns, min(now_ns, self._opens_ns - 1))
        if now_ns >= self._opens_ns:
            if self._warm_up is not None:
                self._warm_up, self._ready = None, None
                self._number, self._step = 0, 1
            self._launch_due(self._schedule, self._opens_ns, now_ns)
        self._loop.call_soon(self._prepare)
        if self._closes_ns is not None and now_ns >= self._closes_ns and self._schedule.due_ns is None:
            self.stop()
        else:
            self._arm()

    def _launch_due(self, schedule: Schedule, from_ns: int, until_ns: int) -> None:
        while (due_ns := schedule.due_ns) is not None and from_ns + due_ns <= until_ns:
            self._launch(from_ns + due_ns)
            schedule.take()

    def _arm(self) -> None:
        if self._stopped.done():
            return
        if self._warm_up is not None:
            due_ns = self._warm_up.due_ns
            next_ns = self._opens_ns if due_ns is None else min(self._opens_ns, self._start_ns + due_ns)
            if next_ns < _NEVER_NS:
                self._pacer.arm(next_ns)
        elif (due_ns := self._schedule.due_ns) is not None:
            self._pacer.arm(self._opens_ns + due_ns)
        elif self._closes_ns is not None:
            self._pacer.arm(self._closes_ns)


class ClosedDriver(Driver):
    """So many clients, each of which orders again as soon as its last order has ended. Finds capacity, not latency."""

    def __init__(
        self,
        client: Client,
        workload: Workload,
        phases: Phases,
        users: int,
        *,
        clock: Clock = time.monotonic_ns,
        pacer: Callable[[Callable[[], None]], Pacer] = best_pacer,
        at_edge: Callable[[], None] = lambda: None,
        raw: Write | None = None,
    ) -> None:
        super().__init__(client, workload, phases, clock=clock, pacer=pacer, at_edge=at_edge, raw=raw)
        self._users = users
        self._loops: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            for task in self._loops.values():
                task.cancel()
            await asyncio.gather(*self._loops.values(), return_exceptions=True)

    def change(self, load: float) -> None:
        self._users = int(load)
        for user in range(self._users):
            if user not in self._loops:
                self._loops[user] = asyncio.create_task(self._order_again(user))

    async def _send(self) -> None:
        pacer = self._make_pacer(self.stop)
        try:
            if self._closes_ns is not None:
                pacer.arm(self._closes_ns)
            self.change(self._users)
            await self._stopped
        finally:
            pacer.close()

    async def _order_again(self, user: int) -> None:
        while user < self._users and not self._stopped.done():
            task = self._launch(self._clock())
            if task is None:
                break
            # Whatever happens to the order, its own task has counted it.
            await asyncio.wait([task])
        self._loops.pop(user, None)


@contextmanager
def _quiet_gc(*, disable: bool) -> Iterator[None]:
    """What is alive now is not looked at again; with ``disable`` nothing is collected until the end either.

    Without an end in sight collection stays on, as cycles would add up.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    if disable:
        gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.unfreeze()
