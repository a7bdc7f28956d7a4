"""Closed load: a number of clients that each wait for their order before sending the next."""

import asyncio
import time
from collections.abc import Callable

from bench.load.driver import Driver
from bench.load.order_log import WriteOrder
from bench.load.pacer import Clock, Pacer, create_best_pacer
from bench.load.phases import Phases
from bench.load.workload.orders import OrderSource
from transports.base import Client


class ClosedDriver(Driver):
    """Runs clients that each order again as soon as their last order has ended. Finds capacity, not latency."""

    def __init__(
        self,
        client: Client,
        workload: OrderSource,
        phases: Phases,
        users: int,
        *,
        clock: Clock = time.monotonic_ns,
        pacer: Callable[[Callable[[], None]], Pacer] = create_best_pacer,
        at_edge: Callable[[], None] = lambda: None,
        raw: WriteOrder | None = None,
        pauses_gc: bool = True,
    ) -> None:
        super().__init__(
            client, workload, phases, clock=clock, pacer=pacer, at_edge=at_edge, raw=raw, pauses_gc=pauses_gc
        )
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
                self._loops[user] = asyncio.create_task(self._run_client(user))

    async def _send(self) -> None:
        pacer = self._make_pacer(self.stop)
        try:
            if self._window.closes_ns is not None:
                pacer.arm(self._window.closes_ns)
            self.change(self._users)
            await self._stopped
        finally:
            pacer.close()

    async def _run_client(self, user: int) -> None:
        while user < self._users and not self._stopped.done():
            task = self._start_order(self._clock())
            if task is None:
                break
            # Whatever happens to the order, its own task has counted it.
            await asyncio.wait([task])
        self._loops.pop(user, None)
