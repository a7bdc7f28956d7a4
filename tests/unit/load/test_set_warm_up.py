"""Tests the warm-up of all arms of a set, on a virtual clock."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from bench.load.sets.player import Tools
from bench.load.sets.warm_up import CLIENTS, WarmedArm, warm_up
from bench.load.workload.orders import Workload
from shop.messages import PlaceOrder
from tests.unit.load.virtual_clock import (
    ALL_SHIP,
    FakeShopClient,
    VirtualLoop,
    build_virtual_pacer,
    read_virtual_clock_ns,
)
from transports.base import Client, Receipt

TOOLS = Tools(clock=read_virtual_clock_ns, pacer=build_virtual_pacer)


class BrokenClient(Client):
    """A client library with a defect."""

    async def submit(self, order: PlaceOrder) -> Receipt:
        raise ZeroDivisionError("a defect")


def get_faster(number: int) -> float:
    """From a tenth of a second down."""
    return max(0.01, 0.1 - number * 1e-4)


def warm(clients: list[Client], least_s: float, most_s: float, stop_after_s: float | None = None) -> Any:
    """What the warm-up brought, and how long it took."""

    async def work() -> tuple[list[WarmedArm], float]:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        if stop_after_s is not None:
            loop.call_later(stop_after_s, stopped.set)
        arms = [
            (client, Workload(prefix=f"w{at}", seed=1, payload_bytes=512, mix=ALL_SHIP), 5.0)
            for at, client in enumerate(clients)
        ]
        began_s = loop.time()
        return await warm_up(arms, least_s, most_s, stopped, TOOLS), loop.time() - began_s

    return run(work())


def run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def test_steady_arms_are_warm_after_five_looks() -> None:
    warmed, took_s = warm([FakeShopClient(lambda _: 0.010), FakeShopClient(lambda _: 0.020)], 2.0, 10.0)
    assert took_s == pytest.approx(2.5, abs=0.1)
    assert [one.steady for one in warmed] == [True, True]
    assert [one.record.all.finished for one in warmed] == pytest.approx(
        [CLIENTS * took_s / 0.010, CLIENTS * took_s / 0.020], rel=0.05
    )
    assert all(one.record.all.sent == one.record.all.finished for one in warmed)


def test_an_arm_that_gets_faster_and_faster_is_warmed_up_to_the_limit() -> None:
    warmed, took_s = warm([FakeShopClient(get_faster)], 2.0, 10.0)
    assert took_s == pytest.approx(10.0, abs=0.6)
    assert [one.steady for one in warmed] == [False]


def test_a_fixed_length_is_kept_whatever_is_seen() -> None:
    warmed, took_s = warm([FakeShopClient(get_faster)], 0.7, 0.0)
    assert took_s == pytest.approx(0.7, abs=0.1)
    assert [one.steady for one in warmed] == [True]


def test_a_defect_of_one_arm_is_its_own() -> None:
    (broken, sound), _ = warm([BrokenClient(), FakeShopClient(lambda _: 0.010)], 1.0, 0.0)
    assert isinstance(broken.error, ZeroDivisionError)
    assert sound.error is None
    assert sound.record.all.finished > 100


def test_a_stop_ends_it() -> None:
    _, took_s = warm([FakeShopClient(lambda _: 0.010)], 5.0, 10.0, stop_after_s=0.3)
    assert took_s < 1.0
