"""Sends orders when they are due and records each outcome; knows only ``base.Client``.

    warm-up ------------> window ---------------------> drain ----->
    start               steady, or the cap            + duration_s   nothing in flight, or drain_s over

The window's plan starts when it opens, so it is the same however long the warm-up was. Nothing is drained in between.

Four instants per order, of one monotonic clock: planned, sent, accepted, finished. Each order is a task of its own,
started when it is due. Only the in-flight cap holds orders back: above it an order is counted as not sent.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from bench.load.accounting import BATCH_ORDERS, NEVER_NS, FinishedOrder, OrderAccounting, Window
from bench.load.gc_pause import pause_gc
from bench.load.order_log import WriteOrder
from bench.load.pacer import Clock, Pacer, create_best_pacer
from bench.load.phases import Phases
from bench.load.recorder import WINDOW_PARTS, DriverRecord
from bench.load.workload.orders import OrderSource
from shop.messages import PlaceOrder
from shop.service import fingerprint
from transports.base import Client
from transports.errors import TransportError
from transports.loop_lag import choose_spacing_ns, sample_loop_lag
from transports.tracing import Tracer

_NS = 1_000_000_000
START_LEAD_NS = 5_000_000
"""From the call of ``run`` to the start, so that the first order is not late already."""
OVERDUE_CHECK_S = 1.0
"""How often orders over their deadline are looked for; also how much longer than the client's own deadline they get."""
CANCEL_GRACE_S = 1.0
"""An order that has not ended so long after it was cancelled is left behind, in its task."""


class ClockMismatchError(Exception):
    """Raised when a transport's instants are impossible; ``str(error)`` says which one."""


class Driver(ABC):
    """Runs one trial in one load process. ``record`` may be read at any time and is complete when ``run`` returns."""

    def __init__(
        self,
        client: Client,
        workload: OrderSource,
        phases: Phases,
        *,
        clock: Clock = time.monotonic_ns,
        pacer: Callable[[Callable[[], None]], Pacer] = create_best_pacer,
        at_edge: Callable[[], None] = lambda: None,
        raw: WriteOrder | None = None,
        pauses_gc: bool = True,
    ) -> None:
        """``at_edge`` is called when the window opens and when it closes; it must not wait for anything.

        ``raw`` takes every order of the window as it ends. ``pauses_gc`` False: whoever runs it does, or nobody.
        """
        self._record = DriverRecord()
        self._loop = asyncio.get_running_loop()
        self._stopped = self._loop.create_future()
        self._at_edge = at_edge
        self._submit = client.submit
        self._workload = workload
        self._phases = phases
        self._clock = clock
        self._make_pacer = pacer
        self._pauses_gc = pauses_gc
        self._window = Window()
        self._trace = Tracer(phases.trace_every)
        self._accounting = OrderAccounting(self._record, workload, self._trace, raw, self._window, self._abort_with)
        self._number, self._step = 0, 1
        self._ready: PlaceOrder | None = workload.order(0)
        self._in_flight: dict[int, tuple[int, asyncio.Task[None]]] = {}
        """By number, in the order of sending: when, and the task."""
        self._left_behind: set[int] = set()
        self._crash: BaseException | None = None
        self._added_up_until_ns = 0
        self._opening_timer: asyncio.TimerHandle | None = None
        self._parts_task: asyncio.Task[None] | None = None
        self._lost_in_flight_ns = [0] * WINDOW_PARTS
        """By part of the window, how long orders were in flight that did not finish."""
        self._recent_responses_us: list[int] = []
        """Responses of the warm-up since it was last looked at."""

    async def run(self) -> None:
        """Runs warm-up, window and drain; returns when the last order has ended or ``drain_s`` is over.

        An order that cannot be cancelled is left behind as unfinished. Raises what a defect raised, or MiscountError.
        """
        phases = self._phases
        endless = phases.duration_s is None
        with pause_gc(disable=not endless) if self._pauses_gc else nullcontext(), self._watch_loop():
            self._start_ns = self._clock() + START_LEAD_NS
            if not phases.adapts:
                self._schedule_opening(self._start_ns + int(phases.warm_up_s * _NS))
            self._cpu_ns = time.process_time_ns()
            self._added_up_until_ns = self._start_ns
            sweep = asyncio.create_task(self._cancel_overdue_orders())
            try:
                await self._send()
                self._close_window()
                await self._drain()
            finally:
                if self._opening_timer is not None:
                    self._opening_timer.cancel()
                sweep.cancel()
                if self._parts_task is not None:
                    self._parts_task.cancel()
                await asyncio.gather(sweep, return_exceptions=True)
                await self._end_orders()
        if self._crash is not None:
            raise self._crash
        if width_ns := self._record.window_ns // WINDOW_PARTS:
            parts = zip(self._record.in_flight_parts, self._lost_in_flight_ns, strict=False)
            self._record.in_flight_parts = [mean - lost_ns / width_ns for mean, lost_ns in parts]
        self._accounting.flush()
        if self._crash is not None:  # of raw
            raise self._crash
        self._record.close()

    @contextmanager
    def _watch_loop(self) -> Iterator[None]:
        """Samples how late the loop comes to the outcomes of sampled orders, if that is asked for."""
        if not self._phases.watches_loop:
            yield
            return
        with sample_loop_lag(choose_spacing_ns(self._phases.trace_every)) as loop_lag:
            self._trace.watch(loop_lag)
            if loop_lag is not None:
                loop_lag.stay_awake(NEVER_NS)
            yield

    @property
    def record(self) -> DriverRecord:
        """What is counted so far."""
        self._accounting.flush()
        return self._record

    def stop(self) -> None:
        """Stops sending; ``run`` goes on to the drain. Idempotent."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    @abstractmethod
    def change(self, load: float) -> None:
        """Changes the load from now on: orders a second in open mode, looping clients in closed mode."""

    @abstractmethod
    async def _send(self) -> None:
        """Until the window closes, or ``stop``."""

    @property
    def plan_hash(self) -> str:
        """Hash of the planned arrivals; empty when nothing was planned, or the load was changed."""
        return ""

    @property
    def opened_ns(self) -> int:
        """The instant at which the window opened, once it has."""
        return self._window.opens_ns

    @property
    def in_flight(self) -> int:
        """How many orders are on their way."""
        return len(self._in_flight)

    @property
    def left_behind(self) -> int:
        """How many orders could not be cancelled: their tasks go on, and their load process has to be ended."""
        return len(self._left_behind)

    @property
    def responses_outside_us(self) -> Sequence[int]:
        """Responses of finished orders outside the window, of an adapting warm-up since it was last looked at."""
        return self._recent_responses_us

    # The window. Only the driver's own CPU time needs an action at its edges: orders know their phase when planned.

    def _schedule_opening(self, opens_ns: int) -> None:
        duration_s = self._phases.duration_s
        self._window.opens_ns = opens_ns
        self._window.closes_ns = None if duration_s is None else opens_ns + int(duration_s * _NS)
        self._record.warm_up_ns = opens_ns - self._start_ns
        self._opening_timer = self._loop.call_later((opens_ns - self._clock()) / _NS, self._open)

    def _open(self) -> None:
        if self._stopped.done():
            return
        self._accounting.flush()
        self._add_up_in_flight()
        self._record.in_flight_ns = 0
        self._cpu_ns = time.process_time_ns()
        self._at_edge()
        if self._window.closes_ns is not None:
            self._parts_task = asyncio.create_task(self._record_parts(self._window.closes_ns))

    async def _record_parts(self, closes_ns: int) -> None:
        """Records the mean of the orders in flight over each part of the window: where a growing backlog shows."""
        record, width_ns = self._record, (closes_ns - self._window.opens_ns) // WINDOW_PARTS
        then_ns = self._added_up_until_ns
        for number in range(1, WINDOW_PARTS + 1):
            before_ns = record.in_flight_ns
            await asyncio.sleep((self._window.opens_ns + number * width_ns - self._clock()) / _NS)
            now_ns = self._add_up_in_flight()
            record.in_flight_parts.append((record.in_flight_ns - before_ns) / (now_ns - then_ns))
            then_ns = now_ns

    def _close_window(self) -> None:
        self._accounting.flush()
        now_ns = self._add_up_in_flight()
        self._window.closes_ns = now_ns if self._window.closes_ns is None else min(self._window.closes_ns, now_ns)
        self._record.window_ns = max(0, self._window.closes_ns - self._window.opens_ns)
        if self._record.window_ns:
            self._record.driver_cpu_ns = time.process_time_ns() - self._cpu_ns
            self._at_edge()

    def _add_up_in_flight(self) -> int:
        """Adds the orders in flight up over the time since the last call; returns the present instant.

        To be called before each change of the orders in flight. Once ``_close_window`` has set the window's length,
        nothing is added any more.
        """
        now_ns = self._clock()
        if not self._record.window_ns:
            self._record.in_flight_ns += len(self._in_flight) * (now_ns - self._added_up_until_ns)
            self._added_up_until_ns = now_ns
        return now_ns

    def _discount_lost_order(self, sent_ns: int) -> None:
        """Takes an order that is given up out of the backlog: it does not tell whether the method keeps up."""
        now_ns = self._clock()
        self._record.in_flight_lost_ns += self._window.overlap_ns(sent_ns, now_ns)
        if self._window.closes_ns is None:
            return
        width_ns = (self._window.closes_ns - self._window.opens_ns) // WINDOW_PARTS
        for number in range(WINDOW_PARTS):
            begins_ns = self._window.opens_ns + number * width_ns
            self._lost_in_flight_ns[number] += max(0, min(now_ns, begins_ns + width_ns) - max(sent_ns, begins_ns))

    # One order.

    def _start_order(self, planned_ns: int) -> asyncio.Task[None] | None:
        """Starts the next order's task; None at the in-flight cap, where it is skipped: order k stays the plan's k."""
        record = self._record
        in_window = planned_ns >= self._window.opens_ns
        record.all.planned += 1
        if in_window:
            record.window.planned += 1
        in_flight = self._in_flight
        number = self._number
        self._number = number + self._step
        order, self._ready = self._ready, None
        if len(in_flight) >= self._phases.in_flight_cap:
            self._accounting.count_not_sent(number, planned_ns)
            return None
        if order is None:
            order = self._workload.order(number)
        self._add_up_in_flight()
        task = self._loop.create_task(self._carry_out(number, order, planned_ns, in_window))
        in_flight[number] = (planned_ns, task)
        record.in_flight_max = max(record.in_flight_max, len(in_flight))
        return task

    def _build_next_order(self) -> None:
        """Builds the next order once the last ones are on their way."""
        if self._ready is None:
            self._ready = self._workload.order(self._number)

    async def _carry_out(self, number: int, order: PlaceOrder, planned_ns: int, in_window: bool) -> None:
        record = self._record
        every, window = record.all, record.window
        accepted_ns = finished_ns = 0
        every.sent += 1
        if in_window:
            window.sent += 1
        sent_ns = self._clock()
        if in_window:
            self._accounting.sends.append((planned_ns, sent_ns))
        try:
            receipt = await self._submit(order)
            taken_ns = self._clock()
            accepted_ns = self._check_instant(sent_ns, receipt.accepted_ns)
            finished = await receipt.finished
            finished_ns = self._check_instant(sent_ns, finished.at_ns)
            outcome = finished.outcome
            # Without the order and its outcome, which may be large.
            end = FinishedOrder(
                number,
                order.order.order_id,
                outcome.status,
                outcome.order == order.order,
                fingerprint(order.order),
                outcome.total_cents,
                in_window,
                planned_ns,
                sent_ns,
                accepted_ns,
                finished_ns,
                taken_ns,
            )
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error is counted
            if number in self._left_behind:
                return
            status = self._count_unsuccessful(error, accepted=accepted_ns > 0, in_window=in_window)
            self._discount_lost_order(sent_ns)
        else:
            if number in self._left_behind:
                return
            status = "finished"
            self._accounting.ends.append(end)
            if not in_window:
                self._recent_responses_us.append((finished_ns - planned_ns) // 1000)
        if in_window and status != "finished":
            self._accounting.close(number, status, planned_ns, sent_ns, accepted_ns, 0)
        self._add_up_in_flight()
        del self._in_flight[number]
        if len(self._accounting.ends) >= BATCH_ORDERS:
            self._accounting.flush()

    def _count_unsuccessful(self, error: BaseException, *, accepted: bool, in_window: bool) -> str:
        """Counts an order that did not finish; returns its status. A cancellation of ours makes it unfinished."""
        every, window = self._record.all, self._record.window
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled and _is_being_cancelled():
            every.unfinished += 1
            window.unfinished += in_window
            window.accepted_unfinished += in_window and accepted
            return "unfinished"
        every.failed += 1
        if in_window:
            window.failed += 1
            self._accounting.count_failure(type(error).__name__)
        # A CancelledError that nobody here asked for is the client library's.
        if not cancelled and not isinstance(error, TransportError):
            self._abort_with(error)
        return "failed"

    def _check_instant(self, sent_ns: int, at_ns: int) -> int:
        """Returns an instant that a transport gave. Raises ClockMismatchError when it is impossible."""
        now_ns = self._clock()
        if not sent_ns <= at_ns <= now_ns:
            raise ClockMismatchError(
                f"an order sent at {sent_ns} ns was accepted or finished at {at_ns}, and now it is {now_ns}: the "
                "transport's instants are not time.monotonic_ns()"
            )
        return at_ns

    def _abort_with(self, error: BaseException) -> None:
        """Ends the trial because of a defect, not only the order in which it showed."""
        self._crash = self._crash or error
        self.stop()

    # Orders that do not end by themselves.

    async def _cancel_overdue_orders(self) -> None:
        """Checks all orders now and then, where a timer for each would cost as much as sending it."""
        limit_ns = int((self._phases.deadline_s + OVERDUE_CHECK_S) * _NS)
        while True:
            await asyncio.sleep(OVERDUE_CHECK_S)
            oldest_ns = self._clock() - limit_ns
            for planned_ns, task in self._in_flight.values():
                if planned_ns > oldest_ns:
                    break
                task.cancel()

    async def _drain(self) -> None:
        tasks = self._tasks()
        if tasks:
            await asyncio.wait(tasks, timeout=self._phases.drain_s)

    async def _end_orders(self) -> None:
        """Cancels what is in flight, and leaves behind what does not end by that."""
        if tasks := self._tasks():
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_GRACE_S)
        for number, (planned_ns, task) in list(self._in_flight.items()):
            if task.done():  # cancelled before its first step: its order was not sent
                self._accounting.count_not_sent(number, planned_ns)
            else:
                self._leave_behind(number, planned_ns)
        self._in_flight.clear()

    def _leave_behind(self, number: int, planned_ns: int) -> None:
        """Counts an order as unfinished whose task goes on; whether it was accepted is not known."""
        self._left_behind.add(number)
        self._record.all.unfinished += 1
        if planned_ns >= self._window.opens_ns:
            self._record.window.unfinished += 1
            self._accounting.close(number, "unfinished", planned_ns, planned_ns, 0, 0)
        self._discount_lost_order(planned_ns)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for _, task in self._in_flight.values()]


def _is_being_cancelled() -> bool:
    """Whether somebody has asked the present task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
