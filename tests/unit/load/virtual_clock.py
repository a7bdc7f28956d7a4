"""Runs the load driver on a virtual clock, so that hours take milliseconds."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bench.load.closed_loop import ClosedDriver
from bench.load.driver import Driver
from bench.load.open_loop import OpenDriver
from bench.load.order_log import WriteOrder
from bench.load.pacer import LoopPacer, Pacer
from bench.load.phases import Phases
from bench.load.workload.arrivals import Schedule
from bench.load.workload.orders import Mix, Workload
from shop.messages import OrderClosed, PlaceOrder
from transports.base import Client, Finished, Receipt

NS_PER_S = 1_000_000_000
ALL_SHIP = Mix(sold_out=0, declined=0)


class _JumpingSelector(selectors.SelectSelector):
    """A selector that moves the loop's clock instead of waiting."""

    now_s = 100.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        assert ready or timeout is not None, "everything waits for something that will not come"
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _JumpingSelector()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s


def read_virtual_clock_ns() -> int:
    return round(asyncio.get_running_loop().time() * NS_PER_S)


def build_virtual_pacer(wake: Callable[[], None]) -> Pacer:
    return LoopPacer(wake, read_virtual_clock_ns)


def run_on_virtual_clock(work: Coroutine[Any, Any, Driver]) -> Driver:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


class FakeShopClient(Client):
    """A client whose orders take ``takes_s(number)`` seconds and are all shipped."""

    def __init__(self, takes_s: Callable[[int], float] = lambda number: 0.001, accept_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.accept_s = accept_s
        self.orders: list[str] = []

    async def submit(self, order: PlaceOrder) -> Receipt:
        number = len(self.orders)
        self.orders.append(order.order.order_id)
        finished = asyncio.ensure_future(self._finish(order, self.takes_s(number)))
        await asyncio.sleep(self.accept_s)
        return Receipt(read_virtual_clock_ns(), finished)

    async def _finish(self, order: PlaceOrder, takes_s: float) -> Finished:
        await asyncio.sleep(takes_s)
        return Finished(OrderClosed(order.order, "shipped", 100, "RR1", ""), read_virtual_clock_ns())


async def run_open_trial(
    client: Client,
    *,
    orders_per_s: float = 100,
    warm_up_s: float = 0,
    duration_s: float | None = 10,
    during: Callable[[Driver], Awaitable[None]] | None = None,
    raw: WriteOrder | None = None,
    **phases: Any,
) -> Driver:
    driver = OpenDriver(
        client,
        Workload(prefix="t", seed=1, payload_bytes=512, mix=ALL_SHIP),
        Phases(warm_up_s=warm_up_s, duration_s=duration_s, **phases),
        Schedule("constant", seed="1", orders_per_s=orders_per_s, duration_s=duration_s),
        clock=read_virtual_clock_ns,
        pacer=build_virtual_pacer,
        raw=raw,
        warm_up=Schedule("constant", seed="1", orders_per_s=orders_per_s),
    )
    running = asyncio.ensure_future(driver.run())
    if during is not None:
        await during(driver)
    await running
    return driver


async def run_closed_trial(client: Client, users: int, **phases: Any) -> Driver:
    workload = Workload(prefix="t", seed=1, payload_bytes=512, mix=ALL_SHIP)
    driver = ClosedDriver(
        client, workload, Phases(**phases), users, clock=read_virtual_clock_ns, pacer=build_virtual_pacer
    )
    await driver.run()
    return driver
