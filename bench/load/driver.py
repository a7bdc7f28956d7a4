"""Sending orders when they are due, and noting what becomes of each. Knows transports through ``base.Client`` alone.

    warm-up ------------> window ---------------------> drain ----->
    start               + warm_up_s                   + duration_s   nothing in flight, or drain_s over

Four instants per order, of one monotonic clock: planned, sent, accepted, finished. An order is a task of its own,
made when it is due; nothing gates it but the in-flight cap, above which it is not sent and says so.
"""

import asyncio
import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.load.arrivals import Schedule
from bench.load.pacer import Clock, Pacer, best_pacer
from bench.load.record import Record, Sampled
from bench.workload import Workload
from shop.messages import PlaceOrder
from transports.base import Client, Finished
from transports.errors import TransportError
from transports.trace import MOST_STAMPS, Trace

_NS = 1_000_000_000
LEAD_NS = 5_000_000
"""From the call of ``run`` to the start, so that the first order is not late already."""
SWEEP_S = 1.0
"""How often orders over their deadline are looked for; also how much longer than the client's own deadline they get."""
DISTINCT_FAILURES = 50
"""Error classes told apart; any further ones are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """How long each phase takes. ``duration_s`` None: until stopped."""

    warm_up_s: float = 0.0
    duration_s: float | None = None
    drain_s: float = 30.0
    deadline_s: float = 30.0
    """An order that is older ends as unfinished."""
    in_flight_cap: int = 10_000
    trace_every: int = 0
    """One in so many orders is kept with its four instants; 0: none."""


class Driver(ABC):
    """One trial of one load process. ``record`` may be read at any time and is complete when ``run`` returns."""

    def __init__(
        self,
        client: Client,
        workload: Workload,
        phases: Phases,
        *,
        clock: Clock = time.monotonic_ns,
        pacer: Callable[[Callable[[], None]], Pacer] = best_pacer,
        at_edge: Callable[[], None] = lambda: None,
    ) -> None:
        """``at_edge`` is called when the window opens and when it closes; it must not wait for anything."""
        self.record = Record()
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._at_edge = at_edge
        self._submit = client.submit
        self._workload = workload
        self._phases = phases
        self._clock = clock
        self._make_pacer = pacer
        self._trace = Trace(phases.trace_every)
        self._number = 0
        self._ready: PlaceOrder | None = workload.order(0)
        self._in_flight: dict[int, tuple[int, asyncio.Task[None]]] = {}
        """By number, in the order of sending: when, and the task."""
        self._crash: BaseException | None = None
        self._settled_ns = 0
        self._last_planned_ns = self._last_sent_ns = 0

    async def run(self) -> None:
        """Returns when the last order has ended or ``drain_s`` is over. Raises what a defect raised, or Miscounted."""
        phases = self._phases
        endless = phases.duration_s is None
        with _quiet_gc(disable=not endless):
            self._start_ns = self._clock() + LEAD_NS
            self._opens_ns = self._start_ns + int(phases.warm_up_s * _NS)
            self._closes_ns = None if phases.duration_s is None else self._opens_ns + int(phases.duration_s * _NS)
            opening = self._loop.call_later((self._opens_ns - self._clock()) / _NS, self._open)
            self._cpu_ns = time.process_time_ns()
            self._settled_ns = self._start_ns
            sweep = asyncio.create_task(self._sweep())
            try:
                await self._send()
                self._shut()
                await self._drain()
            finally:
                opening.cancel()
                sweep.cancel()
                for _, task in self._in_flight.values():
                    task.cancel()
                await asyncio.gather(sweep, *self._tasks(), return_exceptions=True)
                self._count_unstarted()
        if self._crash is not None:
            raise self._crash
        self.record.close()

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

    # The window. Only the driver's own CPU time needs an action at its edges: orders know their phase when planned.

    def _open(self) -> None:
        self._settle()
        self.record.in_flight_ns = 0
        self._cpu_ns = time.process_time_ns()
        self._at_edge()

    def _shut(self) -> None:
        now_ns = self._settle()
        self._closes_ns = now_ns if self._closes_ns is None else min(self._closes_ns, now_ns)
        self.record.window_ns = max(0, self._closes_ns - self._opens_ns)
        if self.record.window_ns:
            self.record.driver_cpu_ns = time.process_time_ns() - self._cpu_ns
            self._at_edge()

    def _settle(self) -> int:
        """Before each change of the orders in flight: add them up over the time since the last one. It is now.

        Once ``_shut`` has set the window's length, nothing is added any more.
        """
        now_ns = self._clock()
        if not self.record.window_ns:
            self.record.in_flight_ns += len(self._in_flight) * (now_ns - self._settled_ns)
            self._settled_ns = now_ns
        return now_ns

    # One order.

    def _launch(self, planned_ns: int) -> asyncio.Task[None] | None:
        """The next order on its way. None when too many are: it is left out, so that order k stays the plan's k."""
        record = self.record
        in_window = planned_ns >= self._opens_ns
        record.all.planned += 1
        if in_window:
            record.window.planned += 1
        in_flight = self._in_flight
        number = self._number
        self._number = number + 1
        order, self._ready = self._ready, None
        if len(in_flight) >= self._phases.in_flight_cap:
            record.all.not_sent += 1
            if in_window:
                record.window.not_sent += 1
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
        record = self.record
        every, window = record.all, record.window
        accepted_ns = 0
        every.sent += 1
        if in_window:
            window.sent += 1
        sent_ns = self._clock()
        if in_window:
            self._note_gap(planned_ns, sent_ns)
        try:
            receipt = await self._submit(order)
            accepted_ns = receipt.accepted_ns
            finished = await receipt.finished
        except asyncio.CancelledError:
            every.unfinished += 1
            if in_window:
                window.unfinished += 1
                window.accepted_unfinished += accepted_ns > 0
        except Exception as error:  # noqa: BLE001 - every error is counted
            every.failed += 1
            if in_window:
                window.failed += 1
                self._note_failure(type(error).__name__)
            if not isinstance(error, TransportError):
                # A defect: it ends the trial, not only this order.
                self._crash = self._crash or error
                self.stop()
        else:
            self._finish(number, order, finished, in_window)
            if in_window:
                record.response_ns += finished.at_ns - planned_ns
                record.finish.record((finished.at_ns - planned_ns) // 1000)
                record.finish_service.record((finished.at_ns - sent_ns) // 1000)
                order_id = order.order.order_id
                if self._trace.wants(order_id) and len(record.sampled) < MOST_STAMPS:
                    record.sampled.append(Sampled(order_id, planned_ns, sent_ns, accepted_ns, finished.at_ns))
        if in_window:
            record.lateness.record((sent_ns - planned_ns) // 1000)
            if accepted_ns:
                window.accepted += 1
                record.accept.record((accepted_ns - planned_ns) // 1000)
        self._settle()
        del self._in_flight[number]

    def _note_gap(self, planned_ns: int, sent_ns: int) -> None:
        if self._last_sent_ns:
            self.record.gap_planned.record((planned_ns - self._last_planned_ns) // 1000)
            self.record.gap_sent.record((sent_ns - self._last_sent_ns) // 1000)
        self._last_planned_ns, self._last_sent_ns = planned_ns, sent_ns

    def _finish(self, number: int, order: PlaceOrder, finished: Finished, in_window: bool) -> None:
        record = self.record
        outcome = finished.outcome
        order_id = order.order.order_id
        shipped = outcome.status == "shipped"
        record.all.finished += 1
        if shipped:
            record.shipped.add(order_id, outcome.total_cents)
        else:
            record.rejected.add(order_id, 0)
        if outcome.status != self._workload.expected(number) or outcome.order.order_id != order_id:
            record.unexpected += 1
        if finished.at_ns >= self._opens_ns and (self._closes_ns is None or finished.at_ns < self._closes_ns):
            record.finished_within += 1
        if in_window:
            record.window.finished += 1
            if shipped:
                record.shipped_in_window += 1
            else:
                record.rejected_in_window += 1

    def _note_failure(self, name: str) -> None:
        failures = self.record.failures
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
        for planned_ns, _ in self._in_flight.values():
            self.record.all.not_sent += 1
            if planned_ns >= self._opens_ns:
                self.record.window.not_sent += 1
        self._in_flight.clear()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._in_flight.values()]


class OpenDriver(Driver):
    """Orders arrive by a schedule, whatever becomes of those before them."""

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
    ) -> None:
        """``schedule`` starts with the warm-up and ends with the window."""
        super().__init__(client, workload, phases, clock=clock, pacer=pacer, at_edge=at_edge)
        self._schedule = schedule
        self._changed = False

    @property
    def plan_hash(self) -> str:
        return "" if self._changed or self._schedule.plan is None else self._schedule.plan.hash

    def change(self, load: float) -> None:
        """Orders that were due already are sent first. Raises ValueError when ``load`` is no rate."""
        self._send_due()
        self._schedule.change(load, self._clock() - self._start_ns)
        self._changed = True
        self._arm()

    async def _send(self) -> None:
        self._pacer = self._make_pacer(self._send_due)
        try:
            self._arm()
            await self._stopped
        finally:
            self._pacer.close()

    def _send_due(self) -> None:
        """Everything that is due goes at once: nothing is skipped and nothing is throttled."""
        if self._stopped.done():
            return
        # The clock is read once, so that a schedule that is faster than this loop cannot keep others from running.
        now_ns = self._clock()
        offset_ns = now_ns - self._start_ns
        schedule = self._schedule
        while (due_ns := schedule.due_ns) is not None and due_ns <= offset_ns:
            self._launch(self._start_ns + due_ns)
            schedule.take()
        self._loop.call_soon(self._prepare)
        if self._closes_ns is not None and now_ns >= self._closes_ns and due_ns is None:
            self.stop()
        else:
            self._arm()

    def _arm(self) -> None:
        if self._stopped.done():
            return
        if (due_ns := self._schedule.due_ns) is not None:
            self._pacer.arm(self._start_ns + due_ns)
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
    ) -> None:
        super().__init__(client, workload, phases, clock=clock, pacer=pacer, at_edge=at_edge)
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
