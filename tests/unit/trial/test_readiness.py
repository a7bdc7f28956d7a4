"""Tests that services count as ready once a probe order has come back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bench.errors import StartFailed
from bench.load.workload.orders import build_shipped_outcome
from bench.trial import readiness as probing
from bench.trial.readiness import wait_until_ready
from shop.messages import PlaceOrder
from transports.base import Client, Finished, Receipt, Setting
from transports.errors import Failed
from transports.memory import MemoryTransport

Then = Callable[[int], Awaitable[None]]


class Buyer(Client):
    def __init__(self, then: Then) -> None:
        self.then = then
        self.ids: list[str] = []

    async def submit(self, order: PlaceOrder) -> Receipt:
        self.ids.append(order.order.order_id)
        await self.then(len(self.ids))
        finished: asyncio.Future[Finished] = asyncio.get_running_loop().create_future()
        finished.set_result(Finished(build_shipped_outcome(order), 1))
        return Receipt(1, finished)


class Shop(MemoryTransport):
    def __init__(self, then: Then) -> None:
        super().__init__(Setting(trial="probe"))
        self.buyer = Buyer(then)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        yield self.buyer


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_S", 0.5)
    monkeypatch.setattr(probing, "PROBE_AGAIN_S", 0.02)
    monkeypatch.setattr(probing, "PROBE_PAUSE_S", 0.0)


async def fails(number: int) -> None:
    if number < 3:
        raise Failed("not yet")


async def is_lost(number: int) -> None:
    if number < 3:
        await asyncio.Event().wait()


@pytest.mark.parametrize("then", [fails, is_lost])
async def test_a_probe_that_does_not_come_back_is_followed_by_another(then: Then) -> None:
    shop = Shop(then)
    await wait_until_ready(shop)
    assert len(set(shop.buyer.ids)) == len(shop.buyer.ids) == 3


async def test_services_that_answer_no_probe_are_not_ready_and_the_last_reason_is_said() -> None:
    async def never(number: int) -> None:
        raise Failed(f"reason {number}")

    with pytest.raises(StartFailed, match=r"no probe order came back within 0.5 s: reason \d+"):
        await wait_until_ready(Shop(never))
