"""Provides the stub transport: nothing travels, and orders end when the model says."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.calibration.selftest.queue_model import QueueModel, SimulatedQueue
from bench.load.workload.orders import build_shipped_outcome
from shop.messages import PlaceOrder
from shop.service import Service
from transports.base import Acceptance, Client, Finished, Receipt, ServingStats, Setting, Style, Traits, Transport
from transports.options import parse_options

NAME = "stub"
WARM_UP_MARK = "--"
"""In the ids of the warm-up's orders, whose numbers are negative."""
ENTRY_POINT = f"{NAME} = {__name__}:StubTransport"


class StubTransport(Transport):
    traits = Traits(
        style=Style.PIPELINE,
        accepted=Acceptance.ON_CONFIRM,
        survives={"fast": "D0: nothing is kept", "safe": "D0: nothing is kept"},
        redelivers=False,
        ordered=True,
        concurrency="as the model says",
        in_process=True,
    )
    Config = QueueModel

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._model = parse_options(NAME, setting.options, QueueModel)

    @asynccontextmanager
    async def serve(self, service: Service) -> AsyncIterator[ServingStats]:
        yield ServingStats()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        yield StubClient(self._model)


class StubClient(Client):
    """A client without a wire. Orders of the warm-up end at once, unserved.

    ``clock_ns`` runs as fast as the event loop's own clock.
    """

    def __init__(self, model: QueueModel, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._hold_s = model.hold_ms / 1000
        self._queue = SimulatedQueue(model)
        self._first_ns: int | None = None

    async def submit(self, order: PlaceOrder) -> Receipt:
        loop = asyncio.get_running_loop()
        if self._hold_s:
            time.sleep(self._hold_s)  # noqa: ASYNC251 - the fault that is to be found
        now_ns = self._clock_ns()
        finished: asyncio.Future[Finished] = loop.create_future()
        if WARM_UP_MARK in order.order.order_id:
            self._finish(finished, order)
            return Receipt(now_ns, finished)
        if self._first_ns is None:
            self._first_ns = now_ns
        at_s = (now_ns - self._first_ns) / 1e9
        ends_s = self._queue.ends_s(at_s)
        if ends_s is not None:
            loop.call_later(ends_s - at_s, self._finish, finished, order)
        return Receipt(now_ns, finished)

    def _finish(self, finished: "asyncio.Future[Finished]", order: PlaceOrder) -> None:
        if not finished.done():
            finished.set_result(Finished(build_shipped_outcome(order), self._clock_ns()))
