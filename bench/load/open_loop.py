"""Open load: orders arrive by a schedule, whether or not earlier orders have finished."""

import asyncio
import math
import statistics
import time
from collections.abc import Callable

from bench.load.accounting import NEVER_NS
from bench.load.driver import START_LEAD_NS, Driver
from bench.load.order_log import WriteOrder
from bench.load.pacer import Clock, Pacer, create_best_pacer
from bench.load.phases import Phases
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import OrderSource
from bench.stats.trend import is_steady
from transports.base import Client

_NS = 1_000_000_000


class OpenDriver(Driver):
    """Sends orders by a schedule, whether or not earlier orders have finished.

    The warm-up has a schedule of its own, and its orders have negative numbers: order k is the plan's order k.
    """

    def __init__(
        self,
        client: Client,
        workload: OrderSource,
        phases: Phases,
        schedule: Schedule,
        *,
        clock: Clock = time.monotonic_ns,
        pacer: Callable[[Callable[[], None]], Pacer] = create_best_pacer,
        at_edge: Callable[[], None] = lambda: None,
        raw: WriteOrder | None = None,
        pauses_gc: bool = True,
        warm_up: Schedule | None = None,
    ) -> None:
        """``schedule`` is the window's, ``warm_up`` without an end; without it, nothing is sent in the warm-up."""
        super().__init__(
            client, workload, phases, clock=clock, pacer=pacer, at_edge=at_edge, raw=raw, pauses_gc=pauses_gc
        )
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
        """Changes the rate; orders that are already due are sent first. Raises ValueError when ``load`` is no rate."""
        self._send_due()
        now_ns = self._clock()
        if self._warm_up is not None:
            self._warm_up.change(load, now_ns - self._start_ns)
        self._schedule.change(load, max(0, now_ns - self._window.opens_ns))
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
            now_ns = self._add_up_in_flight()
            in_flight.append(record.in_flight_ns / (now_ns - seen_ns))
            record.in_flight_ns = 0
            p50_us.append(statistics.median(self._recent_responses_us) if self._recent_responses_us else math.inf)
            self._recent_responses_us.clear()
            seen_ns = now_ns
            record.steady = is_steady(in_flight, p50_us)
            if (record.steady and now_ns >= least_ns) or now_ns + tick_ns > most_ns:
                break
        self._schedule_opening(now_ns + START_LEAD_NS)
        self._arm()

    def _send_due(self) -> None:
        """Everything that is due goes at once: nothing is skipped and nothing is throttled."""
        if self._stopped.done():
            return
        # The clock is read once, so that a schedule that is faster than this loop cannot keep others from running.
        now_ns = self._clock()
        if self._warm_up is not None:
            self._launch_due(self._warm_up, self._start_ns, min(now_ns, self._window.opens_ns - 1))
        if now_ns >= self._window.opens_ns:
            if self._warm_up is not None:
                self._warm_up, self._ready = None, None
                self._number, self._step = 0, 1
            self._launch_due(self._schedule, self._window.opens_ns, now_ns)
        self._loop.call_soon(self._build_next_order)
        if self._window.closes_ns is not None and now_ns >= self._window.closes_ns and self._schedule.due_ns is None:
            self.stop()
        else:
            self._arm()

    def _launch_due(self, schedule: Schedule, from_ns: int, until_ns: int) -> None:
        while (due_ns := schedule.due_ns) is not None and from_ns + due_ns <= until_ns:
            self._start_order(from_ns + due_ns)
            schedule.take()

    def _arm(self) -> None:
        if self._stopped.done():
            return
        if self._warm_up is not None:
            due_ns = self._warm_up.due_ns
            next_ns = self._window.opens_ns if due_ns is None else min(self._window.opens_ns, self._start_ns + due_ns)
            if next_ns < NEVER_NS:
                self._pacer.arm(next_ns)
        elif (due_ns := self._schedule.due_ns) is not None:
            self._pacer.arm(self._window.opens_ns + due_ns)
        elif self._window.closes_ns is not None:
            self._pacer.arm(self._window.closes_ns)
