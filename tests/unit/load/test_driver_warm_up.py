"""Tests that warm-up ends when latency has no trend, and is left out of the results."""

import asyncio

import pytest

from bench.load.driver import Driver
from tests.unit.load.virtual_clock import (
    NS_PER_S,
    FakeShopClient,
    read_virtual_clock_ns,
    run_on_virtual_clock,
    run_open_trial,
)


def test_warm_up_is_audited_but_neither_counted_nor_timed() -> None:
    record = run_on_virtual_clock(run_open_trial(FakeShopClient(), warm_up_s=5, duration_s=10)).record
    assert record.window.planned == record.finish.count == 1000
    assert record.all.planned == record.shipped.count == 1500


def warmed_up(stub: FakeShopClient, **phases: float) -> Driver:
    return run_on_virtual_clock(run_open_trial(stub, warm_up_s=2, warm_up_max_s=10, duration_s=1, **phases))


def test_a_warm_up_in_which_nothing_rises_or_falls_ends_after_five_looks() -> None:
    record = warmed_up(FakeShopClient(lambda number: 0.1 + number % 7 / 100)).record
    assert record.steady
    assert record.warm_up_ns / NS_PER_S == pytest.approx(2.5, abs=0.02)


def test_a_warm_up_goes_on_while_responses_still_fall() -> None:
    record = warmed_up(FakeShopClient(lambda number: 0.01 + max(0.0, 0.4 - number / 1000))).record
    assert record.steady
    assert 4 < record.warm_up_ns / NS_PER_S < 8


def test_a_warm_up_that_does_not_settle_ends_at_its_cap_and_says_so() -> None:
    record = warmed_up(FakeShopClient(lambda number: number / 1000)).record
    assert not record.steady
    assert record.warm_up_ns / NS_PER_S == pytest.approx(10, abs=0.02)


def test_a_warm_up_at_a_rate_too_low_to_look_often_ends_at_its_cap_too() -> None:
    assert warmed_up(FakeShopClient(), tick_s=20).record.warm_up_ns / NS_PER_S == pytest.approx(10, abs=0.02)


def test_a_warm_up_without_a_single_answer_is_not_steady() -> None:
    record = warmed_up(FakeShopClient(lambda number: 60.0), drain_s=1).record
    assert not record.steady


@pytest.mark.parametrize(
    "stub", [FakeShopClient(), FakeShopClient(lambda number: number / 1000)], ids=["steady", "not steady"]
)
def test_the_window_sends_the_same_orders_however_long_the_warm_up_was(stub: FakeShopClient) -> None:
    driver = warmed_up(stub)
    assert [order_id for order_id in stub.orders if "--" not in order_id] == [f"t-{number}" for number in range(100)]
    assert stub.orders[:2] == ["t--1", "t--2"]
    assert driver.plan_hash == run_on_virtual_clock(run_open_trial(FakeShopClient(), duration_s=1)).plan_hash


def test_a_trial_that_is_stopped_in_its_warm_up_has_no_window() -> None:
    async def stop(driver: Driver) -> None:
        await asyncio.sleep(1)
        driver.stop()

    record = run_on_virtual_clock(run_open_trial(FakeShopClient(), warm_up_s=2, warm_up_max_s=10, during=stop)).record
    assert (record.window.planned, record.window_ns) == (0, 0)
    assert record.all.planned == record.shipped.count > 90


def test_a_window_that_would_open_while_the_stopped_trial_drains_does_not() -> None:
    edges: list[float] = []

    async def stop(driver: Driver) -> None:
        driver._at_edge = lambda: edges.append(read_virtual_clock_ns() / NS_PER_S)
        await asyncio.sleep(1)
        driver.stop()

    record = run_on_virtual_clock(run_open_trial(FakeShopClient(lambda number: 5.0), warm_up_s=2, during=stop)).record
    assert record.shipped.count == record.all.planned
    assert (edges, record.in_flight_parts) == ([], [])


def test_a_rate_edited_in_the_warm_up_holds_in_the_window_too() -> None:
    async def double(driver: Driver) -> None:
        await asyncio.sleep(1)
        driver.change(200)

    driver = run_on_virtual_clock(run_open_trial(FakeShopClient(), warm_up_s=2, duration_s=10, during=double))
    assert driver.record.window.planned == 2000
    assert driver.record.all.planned == pytest.approx(100 + 200 + 2000, abs=2)
    assert driver.plan_hash == ""
